"""Peers as processes: each waits idle in an environment of its own until it is asked for something."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks import timing, venvs

ROOT = Path(__file__).parents[1]
LIMIT = 900.0
"""Seconds after which a peer that does not answer is ended."""

Reply = dict[str, Any]


class PeerError(RuntimeError):
    """A peer cannot be measured; says why in one line."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """What is compared.

    Attributes:
      script: run in its environment; see `peer_scripts/serve.py`.
      requirements: what its environment holds; None: it runs in ours.
      venv: its environment's folder, in the folder of all.
      arguments: of the script.
      maps: can train several runs at a time.
    """

    script: Path
    requirements: Path | None = None
    venv: str = ""
    arguments: tuple[str, ...] = ()
    maps: bool = False


class Process:
    """A peer's script, running and waiting to be asked."""

    def __init__(self, peer: Peer, venvs_at: Path, threads: int):
        """Build its environment and start it.

        Args:
          peer: which.
          venvs_at: the folder of the environments.
          threads: cores that it may use, and the bound of its libraries' own threads.

        Raises:
          PeerError: its environment cannot be built.
        """
        try:
            python = venvs.build(peer.requirements, venvs_at / peer.venv) if peer.requirements else sys.executable
        except (RuntimeError, OSError) as error:
            raise PeerError(f"environment: {error}") from error
        variables = dict(venvs.variables(threads)) | ({} if peer.requirements else {"PYTHONPATH": str(ROOT)})
        self.stderr: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.stderr}
        command = [str(python), str(peer.script), *peer.arguments]
        self.process = subprocess.Popen(command, env=variables, text=True, bufsize=1, **pipes)
        if hasattr(os, "sched_setaffinity"):  # before it has threads: they inherit it
            os.sched_setaffinity(self.process.pid, sorted(os.sched_getaffinity(0))[:threads])

    def ask(self, do: str, **arguments: Any) -> Reply:
        """Let it do something and wait.

        Raises:
          PeerError: it said so, ended, or took too long.
        """
        sent, received = self.process.stdin, self.process.stdout
        assert sent is not None
        assert received is not None
        timer = threading.Timer(LIMIT, self.process.kill)
        timer.start()
        try:
            sent.write(json.dumps({"do": do, **arguments}) + "\n")
            # What a library prints while it is imported is no reply.
            line = next((line for line in received if line.startswith("{")), "")
        except OSError:
            line = ""
        timer.cancel()
        if not line:
            self.process.wait()
            self.stderr.seek(0)
            raise PeerError(f"ended with {self.process.returncode}: {venvs.last_error(self.stderr.read())}")
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(reply["error"])
        return reply

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()
        self.stderr.close()


class Peers:
    """All peers that run, and the errors of those that do not; one that has failed is asked for nothing more."""

    def __init__(self, names: Sequence[str], start: Callable[[str], Any]):
        """`start(name)` starts a peer's process, or raises `PeerError`."""
        self.running: dict[str, Any] = {}
        self.errors: dict[str, str] = {}
        self.versions: dict[str, Any] = {}
        for name in names:
            if (process := self.attempt(name, lambda name=name: start(name))) is not None:
                self.running[name] = process
                self.versions[name] = self.ask(name, "versions")

    def attempt(self, name: str, action: Callable[[], Any]) -> Any:
        """What the action returns; None if the peer fails at it, which is remembered."""
        try:
            return action()
        except PeerError as error:
            self.errors[name] = str(error)
            if process := self.running.pop(name, None):
                process.close()
            return None

    def ask(self, name: str, do: str, **arguments: Any) -> Reply | None:
        """A running peer's reply; None if it has failed, now or before."""
        if name not in self.running:
            return None
        return self.attempt(name, lambda: self.running[name].ask(do, **arguments))

    def rows(self, names: Sequence[str], found: Mapping[str, Reply]) -> dict[str, Reply]:
        """What was found of those that were asked for, or their errors."""
        return {name: found.get(name) or {"error": self.errors.get(name, "not asked for")} for name in names}

    def close(self) -> None:
        """End all."""
        for process in self.running.values():
            process.close()


def rates(
    peers: Peers, asked: Mapping[str, tuple[str, Mapping[str, Any]]], repetitions: int, seconds: float
) -> dict[str, Reply]:
    """Let trainings run in turn.

    Args:
      peers: all.
      asked: by row, whose training and its settings.
      repetitions: the outer loop; the rows are the inner one.
      seconds: that each trains in every turn, about.

    Returns:
      By row: updates and environment steps a second, of all runs, median, min and max, and seconds to start; or an
      error.
    """
    begun = {row: peers.ask(name, "prepare", row=row, settings=settings) for row, (name, settings) in asked.items()}
    turns: dict[str, list[Reply]] = {row: [] for row in asked}
    for _ in range(repetitions):
        for row, (name, _) in asked.items():
            if begun[row] and (reply := peers.ask(name, "measure", row=row, seconds=seconds)):
                turns[row].append(reply)
    found: dict[str, Reply] = {}
    for row, (name, _) in asked.items():
        startup = begun[row]
        if startup and len(turns[row]) == repetitions:
            counted = {
                f"{what}_per_second": timing.summary([turn[what] / turn["seconds"] for turn in turns[row]])
                for what in ("updates", "env_steps")
            }
            found[row] = counted | startup
        else:
            found[row] = {"error": peers.errors.get(name, "not asked for")}
    return found
