"""The command line: finds the command, and says in one line what went wrong, with the exit code that belongs to it."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import devices, hosts, interrupts
from maxent_jax.commands.common import PROGRAM
from maxent_jax.faults import Fault

COMMANDS = {
    "train": "training",
    "sweep": "training",
    "resume": "training",
    "submit": "training",
    "merge": "training",
    "status": "watching",
    "reproduce": "measuring",
    "report": "comparing",
    "evaluate": "comparing",
    "compare": "comparing",
    "landscape": "reading",
    "film": "reading",
    "envs": "tasks",
    "plan": "measuring",
    "bench": "measuring",
    "theory": "tasks",
}
"""The module of `commands` that holds NAME_command: what a command does not need is not imported."""


def command(name: str) -> Callable[[list[str]], None]:
    """The function behind a name of `COMMANDS`."""
    module = importlib.import_module(f"maxent_jax.commands.{COMMANDS[name]}")
    return getattr(module, f"{name}_command")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      argv: the words after the program's name; None: from the shell.

    Returns:
      The exit code: 0; 2 for a user's mistake; 1 for damage, a full disk and the like; 130 after Ctrl-C, 143 after
      SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("-h", "--help"):
            _print_commands()
            return 0
        if words[0] not in COMMANDS:
            raise fields.unknown(f"command {words[0]!r}", words[0], COMMANDS)
        command(words[0])(words[1:])
    except InvalidSetting as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    except Fault as fault:
        print(f"{PROGRAM}: {fault}", file=sys.stderr)
        return 1
    except interrupts.Interrupted as stop:
        return stop.code
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return interrupts.EXIT_CODE
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's own last flush complains
    except OSError as error:  # a full disk, a file that may not be read
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"{PROGRAM}: {' '.join(told.split())}", file=sys.stderr)
        return 1
    except SystemExit as stop:
        if stop.code:  # of somebody in whose process this is called, say of a handler of a signal
            raise
        return 0  # tyro's: --help
    return 0


def run() -> int:
    """`main` as the process that the shell began."""
    devices.one_a_core()
    return hosts.leave(main())


def _print_commands() -> None:
    print(f"usage: {PROGRAM} COMMAND ...   ({PROGRAM} COMMAND --help tells more)\n")
    for name in COMMANDS:
        print(f"  {name:10} {(command(name).__doc__ or '').splitlines()[0]}")


if __name__ == "__main__":
    sys.exit(run())
