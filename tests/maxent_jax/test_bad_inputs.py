"""Generated bad inputs, given to the command line: each is refused by a line that names the cause; nothing happens."""

import copy
import io
import json
import os
import pickle
import random
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import commands
import numpy as np
import pytest
import tiny

import envs
from envs import fields
from maxent_jax import api, cli, runs
from maxent_jax.agents import AGENTS
from maxent_jax.sweep import Chunk

NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "",
    " ",
    "x",
    "0x10",
    "1;2",
    "ü",
    "[]",
    "{}",
    "1,2,x",
    "9" * 400,
    "'",
    "$(id)",
)
NUMBERS += ("1 2", "\n", "+-1", "1e", "%s", "{0}", "[red]", "true false", "None!", "\udcff", "\u22121", ".", "a\nb")
NAMES = ("", " ", "../../x", "x" * 300, "a\nb", "\udcff", "sac toy", "None", "--", "[bold]", "{}", "%s", "/etc", "*")
JUNK = (None, "x", "../../x", -1, 1.5, 1e999, [], {}, [[]], {"x": {}}, 10**30, True, "\0", float("nan"), ["../../x"])
TASKS = ("toy", "vehicle", "pendulum")


def number(rng):
    return rng.choice(NUMBERS)


def scrambled(rng, name):
    """Another word with nearly the same letters."""
    letters = list(name)
    at = rng.randrange(len(letters))
    rng.choice(
        [lambda: letters.insert(at, rng.choice("qxzj7_é")), lambda: letters.__setitem__(at, rng.choice("QXZ"))]
    )()
    return "".join(letters)


def base(rng):
    agent, env = rng.choice(list(AGENTS)), rng.choice(TASKS)
    return agent, env, [rng.choice(["train", "plan"]), agent, "--env", env]


def given(rng, name, value):
    return rng.choice([[f"{name}={value}"], [name, value]])


def field_value(rng, place):
    agent, env, words = base(rng)
    group, cls = rng.choice([("agent", AGENTS[agent]), ("env", envs.task(env))])
    name = rng.choice(list(fields.settings(cls)))
    return [*words, f"--{group}.{name}={number(rng)}"], name


def field_name(rng, place):
    agent, env, words = base(rng)
    group, cls = rng.choice([("agent", AGENTS[agent]), ("env", envs.task(env))])
    name = scrambled(rng, rng.choice(list(fields.settings(cls))))
    return [*words, *given(rng, f"--{group}.{name}", "1")], name


def option_name(rng, place):
    _, _, words = base(rng)
    name = "--" + scrambled(rng, rng.choice(["seeds", "steps", "envs", "preset", "evaluations", "out", "grid"]))
    return [*words, *given(rng, name, "1")], name


def option_value(rng, place):
    _, _, words = base(rng)
    name = rng.choice(["seeds", "steps", "envs", "preset"])
    return [*words, f"--{name}={number(rng)}"], name


def word(rng, place):
    name = rng.choice([*NAMES, scrambled(rng, rng.choice(list(cli.COMMANDS)))])
    return rng.choice(
        [
            ([f"{name}?"], "command"),
            (["train", f"{name}?", "--env", "toy"], "agent" if not f"{name}?".startswith("-") else ""),
            (["train", "sac", "--env", f"{name}?"], "env"),
            (["envs", f"{name}?"], "env" if not f"{name}?".startswith("-") else ""),
            (["reproduce", f"{name}?"], "experiment" if not f"{name}?".startswith("-") else ""),
            (["bench", f"{name}?"], "NAME" if not f"{name}?".startswith("-") else ""),
            (["train", "sac", "--env", "toy", f"{name}?"], ""),
        ]
    )


def grid(rng, place):
    agent = rng.choice(list(AGENTS))
    name = rng.choice([name for name, field in fields.settings(AGENTS[agent]).items() if field.type in (float, int)])
    text = rng.choice(
        [
            lambda: f"{name}={number(rng)};{number(rng)}",
            lambda: f"{scrambled(rng, name)}=1",
            lambda: name,
            lambda: f"{name}=",
            lambda: f"env.{scrambled(rng, 'horizon')}=1,2",
            lambda: f"{name}=1,1",
            lambda: f"{name}=x,{number(rng)}",
            lambda: rng.choice(NAMES) + "=",
            lambda: number(rng) + "=1",
        ]
    )()
    return ["sweep", agent, "--env", "toy", f"--grid={text}"], "grid"


def out(rng, place):
    _, _, words = base(rng)
    taken = rng.choice(
        ["damaged", "damaged/config.json", "damaged/config.json/x", "x" * 300, "a\0b", "/proc/x", "/dev/null"]
    )
    return ["train", *words[1:], f"--out={taken}"], "out"


def damage(rng, place):
    """A run directory of which one thing is wrong; it also lacks checkpoints, so that no damage is harmless."""
    folder = place / "damaged"
    file = folder / rng.choice(["config.json", "metrics.jsonl"])
    text = file.read_text()
    kind = rng.randrange(8)
    if kind == 0:
        file.unlink()
    elif kind == 1:
        file.write_bytes(text.encode()[: rng.randrange(len(text))])
    elif kind == 2:
        data = bytearray(text.encode())
        for _ in range(rng.randrange(1, 9)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        file.write_bytes(data)
    elif kind == 3:
        file.write_bytes(
            rng.choice([b"", b"[]", b"{}", b"null", b"\0" * 9, b"[" * 99_999, b'"x"', b"1", pickle.dumps({})])
        )
    elif kind == 4:
        file.unlink()
        file.mkdir()
    else:
        documents = [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else [json.loads(text)]
        spoil(rng, rng.choice(documents))
        file.write_text("\n".join(map(json.dumps, documents)))
    if rng.random() < 0.2:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "program_0").write_bytes(pickle.dumps({}))
    command = rng.choice(["landscape", "film"])
    return [command, "damaged", f"--out={'x.png' if command == 'landscape' else 'x.gif'}"], ""


def spoil(rng, document):
    """Put junk at a random place of a JSON document, or take a key away."""
    while True:
        keys = list(document) if isinstance(document, dict) else range(len(document))
        key = rng.choice(keys)
        if isinstance(document[key], (dict, list)) and document[key] and rng.random() < 0.7:
            document = document[key]
            continue
        if isinstance(document, dict) and rng.random() < 0.3:
            del document[key]
        else:
            document[key] = rng.choice(JUNK)
        return


KINDS = (field_value, field_name, option_name, option_value, word, grid, out, damage, damage)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """`config.json` and `metrics.jsonl` as `sweep` writes them; nothing is trained."""
    folder = tmp_path_factory.mktemp("written")
    options = {"agent_fields": tiny.FIELDS["sac"], "grid": {"alpha": (0.1, 0.2)}}
    job = api.prepare("sac", "toy", **tiny.RUNS, **options, out=folder / "run")
    metrics = {name: np.zeros(6, np.float32) for name in (*runs.EPISODES, *runs.METRICS)}
    metrics |= {"failed_step": np.array([-1, 7] * 3), "failed_cause": np.array([0, 1] * 3)}
    lines = [
        line
        for index in range(3)
        for line in runs.metric_lines(job.sweep.programs[0], Chunk(index, 32 * index, 32 * index, 1.0, metrics), 1.0)
    ]
    (folder / "config.json").write_text(json.dumps(job.config))
    (folder / "metrics.jsonl").write_text("".join(map(runs.to_line, lines)))
    return folder


def contents(place):
    """Every path with what can be known of it without reading it."""
    paths = [Path(folder) / name for folder, folders, files in os.walk(place) for name in (*folders, *files)]
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths}


def case(number, written, place):
    """The words of input `number`, in a folder that is made anew for it, and what its last line must name."""
    rng = random.Random(number)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(written, place / "damaged")
    return KINDS[number % len(KINDS)](rng, place)


def refused(number, written, place, monkeypatch):
    words, cause = case(number, written, place)
    monkeypatch.chdir(place)
    before = contents(place)
    err = io.StringIO()
    with redirect_stderr(err), redirect_stdout(io.StringIO()):
        code = cli.main(words)
    check(number, words, cause, code, err.getvalue())
    assert contents(place) == before, (number, words)


def check(number, words, cause, code, err):
    about = (number, words, code, err)
    assert code in (1, 2), about
    assert "Traceback" not in err, about
    last = err.strip().splitlines()[-1]
    assert last.startswith("maxent-jax: "), about
    assert cause in last, about


@pytest.mark.parametrize("part", range(4))
def test_bad_inputs_are_refused(part, written, tmp_path, monkeypatch):
    for number in range(50 * part, 50 * (part + 1)):
        refused(number, written, tmp_path / "here", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(9))
def test_many_bad_inputs_are_refused(part, written, tmp_path, monkeypatch):
    for number in range(200 * (part + 1), 200 * (part + 2)):
        refused(number, written, tmp_path / "here", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_bad_inputs_to_a_process_of_its_own(number, written, tmp_path):
    place = tmp_path / "here"
    words, cause = case(3000 + 7 * number, written, place)
    words = [word.replace("\0", "?").encode("utf-8", "surrogateescape") for word in words]
    before = contents(place)
    process = commands.start(words, place)
    _, err = process.communicate(timeout=100)
    check(number, words, cause, process.returncode, err)
    assert contents(place) == before


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_in_a_run_directory_is_never_loaded(written, tmp_path, monkeypatch, capsys):
    place, trap = tmp_path / "here", tmp_path / "sprung"
    bomb = pickle.dumps(Bomb(trap))
    pickle.loads(bomb).close()  # the premise
    assert trap.exists()
    trap.unlink()
    for name in ("config.json", "metrics.jsonl", "checkpoints/program_0"):
        case(0, written, place)
        path = place / "damaged" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bomb)
        monkeypatch.chdir(place)
        assert cli.main(["landscape", "damaged"]) == 2
    # all that a checkpoint is read from
    case(0, written, place)
    folder = place / "damaged" / "checkpoints" / "program_0"
    folder.mkdir(parents=True)
    for name in (
        "_METADATA",
        "_CHECKPOINT_METADATA",
        "manifest.ocdbt",
        "_sharding",
        "array_metadatas",
        "state.pkl",
        "d",
    ):
        (folder / name).write_bytes(bomb)
    assert cli.main(["landscape", "damaged"]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
    assert not trap.exists()


@pytest.mark.parametrize(
    "path", [("runs", 0, "program"), ("runs", 0, "run"), ("runs", 0, "configuration"), ("agent",), ("env",)]
)
def test_names_in_a_run_directory_lead_nowhere_else(path, written, tmp_path):
    """Were it used as a path, `../../x` would be found: what it names is there."""
    shutil.copytree(written, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "program_..").mkdir(parents=True)
    shutil.copytree(written, tmp_path / "x")
    config = copy.deepcopy(json.loads((written / "config.json").read_text()))
    *most, last = path
    inner = config
    for key in most:
        inner = inner[key]
    inner[last] = "../../x"
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(fields.InvalidSetting):
        runs.load(tmp_path / "run")


def test_a_directory_without_damage_is_read(written, tmp_path):
    """The premise of the rest: it is the damage that is refused."""
    result = runs.load(written)
    assert result.summary["configurations"][0]["seeds"] == [0, 1, 2]
    assert [entry["run"] for entry in result.failures()] == [1, 3, 5]
