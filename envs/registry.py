"""Tasks by name. A new task is one new file and one line here."""

from typing import Any

from envs import external, fields
from envs.acrobot import Acrobot
from envs.bandit_chain import BanditChain
from envs.base import EnvSpec, Task
from envs.bifurcated import BifurcatedPendulum, BifurcatedVehicle
from envs.hopper import Hopper
from envs.obstacle2d import Obstacle2D
from envs.pendulum import Pendulum
from envs.quadrotor import Quadrotor
from envs.quadruped import Quadruped
from envs.toy import Toy
from envs.vehicle import Vehicle

TASKS: dict[str, type[Task]] = {
    "toy": Toy,
    "pendulum": Pendulum,
    "vehicle": Vehicle,
    "obstacle2d": Obstacle2D,
    "acrobot": Acrobot,
    "quadrotor": Quadrotor,
    "hopper": Hopper,
    "quadruped": Quadruped,
    "bandit_chain": BanditChain,
    "bifurcated_pendulum": BifurcatedPendulum,
    "bifurcated_vehicle": BifurcatedVehicle,
}


def names() -> list[str]:
    """The names of all tasks."""
    return list(TASKS)


def task(name: str) -> type[Task]:
    """The class of a task: one of `names()`, or another library's as `LIBRARY:NAME` (see `envs.external`).

    Raises:
      ValueError: no such task; the message lists what exists.
    """
    if name in TASKS:
        return TASKS[name]
    if ":" in str(name):
        return external.task(name)
    raise fields.unknown(f"env {name!r}", name, [*TASKS, *external.FORMS])


def make(name: str, /, **values: Any) -> Task:
    """Make a bare task.

    Args:
      name: one of `names()`, or `LIBRARY:NAME`.
      **values: the fields that differ from their defaults, for instance `mass=1200.`.

    Returns:
      The task, every number in it strongly typed.

    Raises:
      ValueError: an unknown task or field, or a value that is not allowed; the message lists what exists.

    Example:
      >>> import jax, envs
      >>> env = envs.make("toy")
      >>> state = env.reset(jax.random.key(0))
      >>> float(env.step(env.step(state, jax.numpy.array([-1.0])), jax.numpy.array([0.0])).reward)
      1.0
    """
    made = fields.build(task(name), values, where="env.")
    made.validate()
    return made


def spec(name: str) -> EnvSpec:
    """The sizes, action bounds and horizon of a task with default fields."""
    return make(name).spec
