"""Bad inputs to the command line, drawn by number: words, what the line that refuses them must name, and whether a
command may also do without what is damaged.

Commands and their options are read off the command line itself, so that a new one is covered as soon as it is there.
"""

import contextlib
import functools
import io
import json
import pickle
import random
import shutil

import envs
from envs import fields
from maxent_jax import cli, options
from maxent_jax.agents import AGENTS

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
TEXTS = {
    "seeds": NUMBERS,
    "shard": ("", "x", "1", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3", "1.0/2", "1/2x", "\udcff/2"),
    "distributed": ("", "x", "1/2", "0/2@h:1", "3/2@h:1", "1/2@h", "1/2@h:", "1/2@h:x", "@h:1", "auto!", "\n"),
    "alpha": ("", "x", "nan", "0", "-1", "1:2", "2:1:3", "1:2:x", "1:inf:3", "0:1:3", "1:2:0", "1:2:3:4"),
}
"""Bad texts for options that are texts, where not every text is good."""
REPEATED = ("merge", "report", "bench", "submit", "envs")
"""Commands that take any number of words, or other words than they first seem to."""
FIRST = {"envs": ("toy",)}
"""Words that make a command know its options."""
INNER = {"submit": ("sac", "--env=toy"), "sweep": ("--grid=alpha=0.1",)}
"""What follows a command's own words."""
FIELDS = ("agent", "env", "grid", "seeds", "steps", "envs", "evaluations", "preset", "keep", "checkpoint_every")
"""Of config.json, as `resume` names them where what they hold is not allowed."""


class Looked(Exception):
    """Ends a command as soon as its options are known."""


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


def known(words):
    """The options and the words that a command line knows: what it first asks whether it was given."""
    found = []

    def look(taken, options, positional, groups):
        found.append((tuple(options), tuple(positional)))
        raise Looked

    check, options._check_names = options._check_names, look
    try:
        with contextlib.suppress(Looked), contextlib.redirect_stderr(io.StringIO()):
            cli.main(words)
    finally:
        options._check_names = check
    return found[0] if found else ((), ())


@functools.cache
def command(name):
    """A command line to which nothing is missing, and its options."""
    words = [name, *FIRST.get(name, ())]
    for _ in range(3):  # the second look knows what the first one named
        own, positional = known(words)
        given = [field.choices[0] if field.choices else "damaged" for field in positional]
        needed = [field for field in own if field.default is None and not field.optional]
        filled = [f"--{field.name}={field.choices[0] if field.choices else 'new'}" for field in needed]
        if name == "submit":
            filled = [word for word in filled if not word.startswith("--env")]
        words = [name, *given, *INNER.get(name, ()), *filled]
    return words, own


def option(rng, place):
    """One option of any command, its name or its value wrong."""
    words, own = command(rng.choice([name for name in cli.COMMANDS if command(name)[1]]))
    field = rng.choice(own)
    flag = f"--{field.name}"
    kind = rng.randrange(6)
    if kind == 0:
        wrong = "--" + scrambled(rng, field.name)
        return [*words, rng.choice([wrong, f"{wrong}=1"])], wrong[2:]
    words = [word for word in words if not word.startswith(f"{flag}=")]
    if flag in options.FLAGS:
        return [*words, f"{flag}={rng.choice(NAMES)}"], field.name
    if kind == 1:
        return [*words, flag], field.name
    if field.choices:
        return [*words, f"{flag}={rng.choice(NAMES)}?"], field.name
    if field.type in (int, float, tuple):
        bad = [number(rng)]
        bad += [str(field.low - 1)] if field.low is not None else []
        bad += [str(field.high + 1)] if field.high is not None else []
        return [*words, f"{flag}={rng.choice(bad)}"], field.name
    if field.name in TEXTS:
        return [*words, f"{flag}={rng.choice(TEXTS[field.name])}"], field.name
    return [*words, f"{flag}-{rng.choice('xyz')}=1"], field.name


def too_many(rng, place):
    """A word that nobody knows."""
    words, _ = command(rng.choice([name for name in cli.COMMANDS if name not in REPEATED]))
    extra = f"{rng.choice(NAMES)}?"
    return [*words, extra], extra if extra.startswith("-") else repr(extra)


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
            (["submit", f"{name}?", "--out", "new"], "COMMAND" if not f"{name}?".startswith("-") else ""),
            (["theory", f"{name}?"], "TASK" if not f"{name}?".startswith("-") else ""),
            ([rng.choice(["resume", "status", "landscape", "film", "merge", "report", "evaluate"]), f"{name}?"], ""),
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
    words = ["sweep", agent, "--env", "toy", f"--grid={text}"]
    if rng.random() < 0.2:
        return ["submit", *words, "--out=new", "--shards=1"], "grid"
    return words, "grid"


def out(rng, place):
    _, _, words = base(rng)
    taken = rng.choice(
        ["damaged", "damaged/config.json", "damaged/config.json/x", "x" * 300, "a\0b", "/proc/x", "/dev/null"]
    )
    return ["train", *words[1:], f"--out={taken}"], "out"


def damage(rng, place):
    """A run directory of which one thing is wrong; it also lacks checkpoints, so that no damage is harmless."""
    folder = place / "damaged"
    kind = rng.randrange(9)
    hard = kind in (0, 1, 3, 4)  # nobody could read it; the other kinds may hit what a command does not look at
    commands = ["landscape", "film", "merge", "evaluate", "status", "resume"]
    name = rng.choice([*commands, *(["train", "report", "compare"] if hard else [])])
    file = folder / rng.choice(["config.json", *(["metrics.jsonl"] if name not in ("resume", "train") else [])])
    text = file.read_text()
    named = ["damaged"]
    if kind == 0:
        file.unlink()
    elif kind == 1:
        file.write_bytes(text.encode()[: rng.randrange(len(text) - 1)])
    elif kind == 2:
        flip(rng, file)
        named += FIELDS
    elif kind == 3:
        file.write_bytes(
            rng.choice([b"", b"[]", b"{}", b"null", b"\0" * 9, b"[" * 99_999, b'"x"', b"1", pickle.dumps({})])
        )
    elif kind == 4:
        file.unlink()
        file.mkdir()
    elif kind == 5:
        (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | late(rng)))
    else:
        named += spoil_file(rng, file)
    if rng.random() < 0.2:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "program_0").write_bytes(pickle.dumps({}))
    if name == "train":
        return ["train", "sac", "--env=toy", "--out=damaged", *(["--resume"] if kind else [])], "damaged"
    if name in ("status", "resume"):  # one says what it can, the other is told fields by their own names, too
        return [name, "damaged"], tuple(named), not hard or name == "status"
    outs = {"landscape": "x.png", "film": "x.gif", "merge": "new", "report": "x.html", "evaluate": "x.json"}
    more = [f"--out={outs[name]}"] if name in outs else ["damaged"] if name == "compare" else []
    return [name, "damaged", *more], "damaged"


def shards(rng, place):
    """Two finished shards, of which one is damaged."""
    folder = place / "shards" / f"shard-{rng.choice('12')}-of-2"
    kind = rng.randrange(7)
    inside = [path for path in sorted((folder / "checkpoints").rglob("*")) if path.is_file()]
    files = [folder / name for name in ("config.json", "metrics.jsonl", "summary.json")]
    file = rng.choice([*files, rng.choice(inside)])
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    at = rng.randrange(len(lines))
    if kind == 0:
        file.unlink()
    elif kind == 1:
        file.write_bytes(file.read_bytes()[:-2])
    elif kind == 2:
        flip(rng, file)
    elif kind == 3:
        del lines[at]
    elif kind == 4:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif kind == 5:
        lines[at] = json.dumps(json.loads(lines[at]) | {"run": rng.choice([7, -1, 0, 1, 1.5])}) + "\n"
    else:
        spoil_file(rng, rng.choice(files))
    if kind in (3, 4, 5):
        (folder / "metrics.jsonl").write_text("".join(lines))
    where = [] if rng.random() < 0.5 else ["--out=new"]
    # what two shards do not have in common may be said of either
    return ["merge", "shards", *where], ("shard-1-of-2", "shard-2-of-2", "shard 1/2", "shard 2/2"), kind not in (3, 4)


def flip(rng, file):
    """Some bytes of a file are others."""
    data = bytearray(file.read_bytes())
    for _ in range(rng.randrange(1, 9)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    file.write_bytes(data)


def late(rng):
    """Junk where a run has something only after it was prolonged, moved, or told how often to save."""
    names = ("prolonged_from", "continued_with", "shard", "keep", "checkpoint_every", "preset")
    return {rng.choice(names): rng.choice(JUNK)}


def spoil_file(rng, file):
    """Junk at a random place of a file of JSON; the names that lead there."""
    text = file.read_text()
    documents = [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else [json.loads(text)]
    names = spoil(rng, rng.choice(documents))
    file.write_text("\n".join(map(json.dumps, documents)))
    return names


def spoil(rng, document):
    """Put junk at a random place of a JSON document, or take a key away; the names that lead there."""
    names = []
    while True:
        keys = list(document) if isinstance(document, dict) else range(len(document))
        key = rng.choice(keys)
        names += [key] if isinstance(key, str) else []
        if isinstance(document[key], (dict, list)) and document[key] and rng.random() < 0.7:
            document = document[key]
            continue
        if isinstance(document, dict) and rng.random() < 0.3:
            del document[key]
        else:
            document[key] = rng.choice(JUNK)
        return names


KINDS = (option, option, option, field_value, field_name, word, too_many, grid, out, damage, damage, damage, shards)


def case(number, written, place):
    """Input `number`, in a folder that is made anew for it.

    Args:
      number: which.
      written: a folder with `config.json` and `metrics.jsonl` as training writes them; beside it, `shards`.
      place: the folder to make; the words are given there.

    Returns:
      The words; the names of which the last line must have one where they are refused; whether they may be accepted.
    """
    rng = random.Random(number)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(written, place / "damaged")
    shutil.copytree(written.parent / "shards", place / "shards")
    words, named, *harmless = KINDS[number % len(KINDS)](rng, place)
    return words, (named,) if isinstance(named, str) else named, any(harmless)
