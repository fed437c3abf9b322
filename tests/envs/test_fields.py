import pickle

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import fields
from envs.fields import setting


@flax.struct.dataclass
class Thing:
    rate: float = setting(0.5, "a share", low=0, high=1)
    width: float = setting(1.0, "m", above=0)
    count: int = setting(3, "how many", low=1)
    fast: bool = setting(False, "whether")
    sizes: tuple[int, ...] = setting((4, 4), "widths", low=1)
    kind: str = setting("a", "which", choices=("a", "b"))
    target: float | None = setting(None, "or none")
    draws: int = setting(8, "shapes the program", low=1, static=True)


def build(**values):
    return fields.build(Thing, values, where="thing.")


def test_leaves_are_the_numbers_and_the_rest_is_static():
    known = fields.settings(Thing)
    assert {name for name in known if known[name].static} == {"sizes", "kind", "draws"}
    assert len(jax.tree.leaves(build(target=1.0))) == 5
    assert len(jax.tree.leaves(build())) == 4  # none is no leaf


def test_leaves_are_strongly_typed():
    thing = build(rate=1, count=np.int64(7), target=2)
    assert (type(thing.rate), type(thing.count), type(thing.fast)) == (np.float32, np.int32, np.bool_)
    assert not any(jax.typeof(jnp.asarray(leaf)).weak_type for leaf in jax.tree.leaves(thing))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 1.5}, "thing.rate = 1.5: must be a number in [0, 1]"),
        ({"rate": float("nan")}, "thing.rate = nan: must be a number in [0, 1]"),
        ({"rate": "0.5"}, "thing.rate = '0.5': must be a number in [0, 1]"),
        ({"rate": True}, "thing.rate = True: must be a number in [0, 1]"),
        ({"rate": np.array([0.1, 0.2])}, "thing.rate = [0.1 0.2]: must be a number in [0, 1]"),
        ({"width": 0.0}, "thing.width = 0.0: must be a number > 0"),
        ({"width": float("inf")}, "thing.width = inf: must be a number > 0"),
        ({"count": 2.5}, "thing.count = 2.5: must be a whole number >= 1"),
        ({"count": 2**40}, f"thing.count = {2**40}: must be a whole number >= 1"),
        ({"fast": 1}, "thing.fast = 1: must be true or false"),
        ({"sizes": (4, 0)}, "thing.sizes = (4, 0): must be whole numbers separated by commas, each >= 1"),
        ({"sizes": ()}, "thing.sizes = (): must be whole numbers separated by commas, each >= 1"),
        ({"kind": "c"}, "thing.kind = 'c': must be one of a, b"),
        ({"kind": None}, "thing.kind = None: must be one of a, b"),
        ({"target": "x"}, "thing.target = 'x': must be a number, or none"),
    ],
)
def test_bad_value_names_field_value_and_what_is_allowed(values, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        build(**values)
    assert str(error.value) == message


def test_unknown_field_lists_what_exists():
    with pytest.raises(ValueError, match=r"thing\.rat is unknown; did you mean 'rate'\?.*rate, width, count") as error:
        build(rat=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate", "1", 1.0),
        ("count", " 12 ", 12),
        ("fast", "True", True),
        ("sizes", "256,256", (256, 256)),
        ("sizes", "64", (64,)),
        ("kind", "b", "b"),
        ("target", "none", None),
        ("target", "-2.5", -2.5),
    ],
)
def test_parse_reads_what_the_command_line_gives(name, text, value):
    parsed = fields.settings(Thing)[name].parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("rate", "x"), ("rate", ""), ("count", "1.5"), ("fast", "yes"), ("sizes", "4,,4"), ("rate", "none")],
)
def test_parse_refuses_other_text_with_the_same_line(name, text):
    with pytest.raises(ValueError, match=rf"^env\.{name} = '{text}': must be "):
        fields.settings(Thing)[name].parse(text, "env.")


def test_plain_values_survive_a_round_trip():
    given = {
        "rate": 0.2,
        "count": 9,
        "fast": True,
        "sizes": (8,),
        "kind": "b",
        "target": None,
        "width": 2.9,
        "draws": 4,
    }
    assert fields.plain_values(build(**given)) == given
    assert build(**fields.plain_values(build(**given))) == build(**given)


@pytest.mark.parametrize("name", envs.names())
def test_every_task_can_be_stored_and_rebuilt(name):
    env = envs.make(name)
    assert envs.make(name, **fields.plain_values(env)) == env
    assert pickle.loads(pickle.dumps(env)) == env
