"""Trackers that follow a run: TensorBoard and Weights & Biases get the lines of metrics.jsonl as they are written.

A tracker that fails is reported once and left out from then on: following a run must never stop it. After a resume a
tracker shows one curve, as metrics.jsonl does.
"""

import contextlib
import importlib.util
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from envs import fields
from envs.fields import InvalidSetting

MOST_EVENT_FILES = 100
"""Each run has an event file of its own, so that TensorBoard lays runs over each other; open files are few."""
WHO_AND_WHEN = ("run", "seed", "env_steps")
SECONDS_OF_WANDB = 20
"""What W&B is given to begin, beside what it looks up before, and to hand over the rest; later `wandb sync` can."""


class Tracker(Protocol):
    """What follows a run."""

    def log(self, line: Mapping[str, Any]) -> None:
        """Take one line of metrics.jsonl."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files in `OUT/tensorboard/run_N`, values over environment steps.

    They are written here and now. tensorboardX's usual writer leaves that to a thread, and where the disk is full the
    thread dies and its queue blocks for ever.
    """

    def __init__(self, out: Path, config: Mapping[str, Any]):
        """Needs tensorboardX; nothing is written yet."""
        from tensorboardX.event_file_writer import EventsWriter  # an extra
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        del config
        self._open, self._event, self._session, self._summary = EventsWriter, Event, SessionLog, Summary
        self._folder = out / "tensorboard"
        self._writers: dict[int, Any] = {}

    def log(self, line: Mapping[str, Any]) -> None:
        """Add the numbers of one line."""
        if line["run"] not in self._writers:
            self._writers[line["run"]] = self._writer(self._folder / f"run_{line['run']}")
            # Readers forget what an earlier process wrote from this step on: metrics.jsonl does not have it any more.
            self._write(line, session_log=self._session(status=self._session.START))
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in numbers(line).items()]
        self._write(line, summary=self._summary(value=values))
        self._writers[line["run"]].flush()

    def _writer(self, folder: Path) -> Any:
        """A new event file, the last by name."""
        folder.mkdir(parents=True, exist_ok=True)
        return self._open(str(folder / "events"), f".{len(list(folder.iterdir())):04}")

    def _write(self, line: Mapping[str, Any], **content: Any) -> None:
        event = self._event(wall_time=time.time(), step=line["env_steps"], **content)
        self._writers[line["run"]].write_event(event)

    def close(self) -> None:
        """Close all event files."""
        for writer in self._writers.values():
            writer.close()


class WeightsAndBiases:
    """One run of W&B for a run directory, its metrics named `run_N/METRIC`; WANDB_MODE=offline keeps it here."""

    def __init__(self, out: Path, config: Mapping[str, Any]):
        """Needs wandb, which writes to `OUT/wandb`, and a key where it is not to stay offline: nobody is asked for one.

        Raises:
          RuntimeError: there is no key.
        """
        import wandb  # pyright: ignore[reportMissingImports] - an extra

        offline = wandb.setup().settings.mode in ("offline", "dryrun", "disabled")
        if not offline and not wandb.login(prompt=False, verify=False):
            raise RuntimeError("no API key; `wandb login` keeps one, WANDB_MODE=offline needs none")
        self._run: Any = wandb.init(
            project="maxent-jax",
            name=out.name,
            dir=str(out),
            config=dict(config),
            id=_id(out / "wandb"),
            resume="allow",
            settings=wandb.Settings(init_timeout=SECONDS_OF_WANDB, finish_timeout=SECONDS_OF_WANDB),
        )
        self._reached: dict[int, int] = {}

    def log(self, line: Mapping[str, Any]) -> None:
        """Add the numbers of one line, over the run's own environment steps, unless W&B has them from before."""
        prefix, run, steps = f"run_{line['run']}/", line["run"], line["env_steps"]
        if run not in self._reached:
            self._run.define_metric(f"{prefix}*", step_metric=f"{prefix}env_steps")
            self._reached[run] = self._run.summary.get(f"{prefix}env_steps", -1)
        if steps > self._reached[run]:
            self._run.log({prefix + name: value for name, value in {**numbers(line), "env_steps": steps}.items()})

    def close(self) -> None:
        """End W&B's run."""
        self._run.finish()


def _id(folder: Path) -> str:
    """The name by which W&B knows a run directory, also after a resume: kept there."""
    file = folder / "id"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        file.write_text(secrets.token_hex(8))
    return file.read_text()


TRACKERS: dict[str, Callable[[Path, Mapping[str, Any]], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """What a line of metrics.jsonl says in numbers, without nulls and without who and when."""
    return {name: value for name, value in line.items() if isinstance(value, (int, float)) and name not in WHO_AND_WHEN}


def check(names: Sequence[str], runs: int) -> tuple[str, ...]:
    """The names of trackers, checked; nothing is written.

    Raises:
      InvalidSetting: there is no such tracker, its package is missing, or it cannot follow so many runs.
    """
    for name in names:
        if name not in TRACKERS:
            raise fields.unknown(f"tracker {name!r}", name, TRACKERS)
        found = importlib.util.find_spec(PACKAGES[name])
        if found is None or found.origin is None:  # a folder of that name, such as W&B leaves behind, is no package
            package = f"{PACKAGES[name]} is not installed"
            raise InvalidSetting(f"tracker {name!r}: {package}; must be: pip install -e '.[{name}]'")
    if "tensorboard" in names and runs > MOST_EVENT_FILES:
        raise InvalidSetting(f"tracker 'tensorboard': {runs} runs; must be at most {MOST_EVENT_FILES}")
    return tuple(dict.fromkeys(names))


class Following:
    """All trackers of a run directory; none of their failures gets out."""

    def __init__(self, names: Sequence[str], out: Path, config: Mapping[str, Any], say: Callable[[str], None]):
        """`names` as checked; `say` reports a tracker that failed."""
        self._say = say
        self._trackers: dict[str, Tracker] = {}
        for name in names:
            with self._contained(name):
                self._trackers[name] = TRACKERS[name](out, config)

    @property
    def patience(self) -> float:
        """Seconds that `close` may take."""
        return SECONDS_OF_WANDB if "wandb" in self._trackers else 0.0

    def log(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Hand lines of metrics.jsonl on."""
        for name, tracker in list(self._trackers.items()):
            with self._contained(name):
                for line in lines:
                    tracker.log(line)

    def close(self) -> None:
        """Let all write what is left."""
        for name, tracker in list(self._trackers.items()):
            with self._contained(name):
                tracker.close()
        self._trackers = {}

    @contextlib.contextmanager
    def _contained(self, name: str) -> Any:
        try:
            yield
        except Exception as error:  # whatever a library of others may raise
            self._trackers.pop(name, None)
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self._say(f"  {name} has failed and follows no longer: {reason}")
