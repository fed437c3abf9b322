"""What a user sees while training runs: a live line in a terminal, plain lines elsewhere, nothing where silent."""

import contextlib
import os
import time
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from maxent_jax.compiled import Chunk
from maxent_jax.programs import Program

SHOW_CURSOR = b"\x1b[?25h"


class Reporter:
    """Follows the programs of a sweep; falls silent where nobody sees it any more."""

    def __init__(self, console: Console | None, total_steps: int):
        """`console=None` is silent; `total_steps` counts the steps of all runs of all programs."""
        self._console = console
        self._total, self._done, self._before = total_steps, 0, 0
        self._origin = 0  # steps that were done before this process trained
        self._began = 0.0
        self._bar: Progress | None = None
        if console is not None and console.is_terminal:
            columns = (
                TextColumn("{task.fields[steps]}"),
                BarColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[returns]}"),
            )
            # Nothing of it changes between chunks, and a thread that draws it anew would be lost with the terminal.
            bar = Progress(*columns, console=console, auto_refresh=False)
            self._task = bar.add_task("", total=total_steps, steps="compiling", speed="", returns="")
            with self._lasting(console):
                bar.start()
                self._bar = bar

    def say(self, line: str) -> None:
        """One line that stays."""
        if self._console is not None:
            with self._lasting(self._console):
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def goes_on(self, program: Program, env_steps: int) -> None:
        """A program begins where another process left it, after so many steps a run."""
        self._before = env_steps * len(program.runs)
        self._origin = self._done + self._before

    def chunk(self, program: Program, chunk: Chunk) -> None:
        """Show where training is, how fast, and how well the policy does."""
        if self._console is None:
            return
        here = chunk.env_steps * len(program.runs)
        if not self._began:  # compiling and the prefill are not counted: they say nothing of what is left
            self._began = time.perf_counter()
            if chunk.index:
                self._began -= chunk.seconds
            else:
                self._origin = self._done + here
        steps = f"{self._done + here:,} of {self._total:,} steps"
        speed = f"{(here - self._before) / chunk.seconds:,.0f} steps/s"
        self._before = here
        values = chunk.metrics["return_deterministic"]
        sound = values[np.asarray(chunk.metrics["failed_step"]) < 0]
        returns = (
            f"return {np.mean(sound):.4g} ({np.min(sound):.4g} to {np.max(sound):.4g})" if len(sound) else "return none"
        )
        if len(sound) < len(values):
            returns += f", failed: {len(values) - len(sound)} of {len(values)}"
        if self._bar is not None:
            done = self._done + here
            with self._lasting(self._console):
                self._bar.update(self._task, completed=done, steps=steps, speed=speed, returns=returns, refresh=True)
            return
        done, elapsed = self._done + here - self._origin, time.perf_counter() - self._began
        left = f"{elapsed * (self._total - self._done - here) / done:,.0f} s left" if done else "untrained"
        self.say(f"  {steps}, {speed}, {left}, {returns}")

    def program_done(self, program: Program) -> None:
        """The next program counts on from here."""
        self._done += program.schedule.total_steps * len(program.runs)
        self._before = 0

    def close(self) -> None:
        """Leave the terminal as it was."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with self._lasting(bar.console):
                bar.stop()

    def abandon(self) -> None:
        """Give the terminal its cursor back, for a process that ends at once.

        Past the console, which keeps all for itself while a line is on its way.
        """
        if self._bar is not None:
            with contextlib.suppress(OSError):
                os.write(self._bar.console.file.fileno(), SHOW_CURSOR)

    @contextlib.contextmanager
    def _lasting(self, console: Console) -> Iterator[None]:
        """Show something in the block; a terminal or a pipe that is gone ends what is shown, and never training."""
        try:
            yield
        except (OSError, SystemExit):  # rich raises the latter where a pipe has no reader
            console.quiet = True
            with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), console.file.fileno())  # or Python's own last flush fails, and the exit code
            self.close()
        except RuntimeError:  # Python's, for a signal's line that meets another one on its way: that line is lost
            pass
