"""The entropy bifurcation extension of a continuous task: where one looks, some actions become fiddly.

The construction on finite models is `maxent_jax.theory.bifurcate`; this is the same for a task with continuous states.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Key, Task
from envs.fields import InvalidSetting, setting, settings, show
from envs.pendulum import Pendulum, PendulumState
from envs.vehicle import Vehicle, VehicleState, path


class Pending(flax.struct.PyTreeNode):
    """The state of a bifurcated task.

    Attributes:
      physics: the state of the task itself.
      held: (a,) the action that was chosen and has not acted yet; 0 where none waits.
      waiting: 1 where one waits, else 0.
    """

    physics: Any
    held: jax.Array
    waiting: jax.Array


def bifurcated(
    task: type[Task],
    critical: Callable[[Any, Any], jax.Array],
    fiddly: Callable[[Any, Any, jax.Array], jax.Array],
    where: str,
) -> type[Task]:
    """Insert the extension into a task at a region of its states.

    In the region an action does not act at once. It is held, and the task waits: a half-step of `duration` 0, without
    a reward, at which the observation holds the action, too. The next action decides how well the held one is carried
    out: on a good set around the held action itself the step is the task's own, with its reward; elsewhere the task
    moves just the same, but earns `penalty` less. Behind a fiddly action the good set is `share` of the volume of all
    actions, behind any other it is everything.

    **Plain optimal values are unchanged.** Let V be the optimal value of the task's states, and of a state in the
    region that waits with a held let W(s, a) = Q(s, a), the task's own optimal value of a there. At such a state the
    action a itself is good: it earns r(s, a) and leads where a leads, which is worth r(s, a) + gamma V(s') = Q(s, a);
    everything else is worth that or `penalty` less. So W satisfies the optimality equation there. In the region the
    equation is V(s) = max_a (0 + gamma^0 W(s, a)) = max_a Q(s, a), as before; elsewhere nothing has changed. Bounded
    solutions are unique (gamma < 1, and every second step takes time). The policy that acts best in the task and, where
    it must wait, repeats the held action, earns what it earned before.

    **Soft values are not.** A waiting state has the soft value Q_soft(s, a) + alpha log m, with
    m = g + (|A| - g) exp(-penalty / alpha) and g the volume of the good set: who is paid for entropy avoids what is
    fiddly, by up to alpha log(1 / share) a time.

    Args:
      task: the class of the task.
      critical: from the task (its fields) and its physical state to whether that lies in the region, ().
      fiddly: from the task, a physical state and an action (a,) to whether that action is fiddly there, ().
      where: the region and what is fiddly there, in words, for the documentation.

    Returns:
      The class of the extended task: the fields of the task, and `share` and `penalty`. The observation is the task's,
      1 where an action waits, and that action. With `process_noise` or `action_delay` it is refused, by an
      `InvalidSetting`, where it is made.

    Source: ours, after the construction of arXiv 2506.05615.

    Example:
      >>> from envs.fields import build
      >>> from envs.toy import GOOD, Toy
      >>> at_good = lambda env, state: state == GOOD
      >>> extended = build(bifurcated(Toy, at_good, lambda env, state, action: action[0] == 0, "0 is fiddly"), {})
      >>> extended.observes[-2:]
      ('1 where an action waits', 'the action that waits: action, in [-1, 1]')
    """

    class Bifurcated(task):
        share: float = setting(0.1, "share of all actions on which nothing is lost after a fiddly one", above=0, high=1)
        penalty: float = setting(10.0, "what the others cost", low=0)

        def validate(self) -> None:
            """Noise and delay would act in half-steps, too, on which time stands still."""
            super().validate()
            for name, off in (("process_noise", None), ("action_delay", 0)):
                value = getattr(self, name)
                if np.any(value != off):
                    raise InvalidSetting(f"env.{name} = {show(value)}: a bifurcated task has none; must be {off}")

        @property
        def inner(self) -> Task:
            """The task without the extension."""
            return task(**{name: getattr(self, name) for name in settings(task)})

        @property
        def observes(self) -> tuple[str, ...]:
            """The task's own numbers, then what waits."""
            held = (f"the action that waits: {name.partition(',')[0]}, in [-1, 1]" for name in self.inner.acts)
            return (*self.inner.observes, "1 where an action waits", *held)

        def start(self, key: Key) -> Pending:
            """The task's own; nothing waits."""
            return self._free(self.inner.start(key))

        def _free(self, physics: Any) -> Pending:
            return Pending(physics, jnp.zeros(self.inner.action_size), jnp.zeros((), jnp.int32))

        def duration(self, physics: Pending) -> jax.Array:
            """None where an action is only chosen."""
            return jnp.where(critical(self.inner, physics.physics), physics.waiting, 1)

        def advance(self, physics: Pending, action: jax.Array) -> tuple[Pending, jax.Array, jax.Array]:
            """Hold an action in the region; carry it out with the next one."""
            inner, waiting = self.inner, physics.waiting > 0
            choosing = ~waiting & critical(inner, physics.physics)
            acting = jnp.where(waiting, physics.held, action)
            after, reward, terminated = inner.advance(physics.physics, acting)
            missed = waiting & fiddly(inner, physics.physics, physics.held) & ~is_good(physics.held, action, self.share)
            reward = jnp.where(missed, reward - self.penalty, reward)
            held = Pending(physics.physics, action, jnp.ones((), jnp.int32))
            then = jax.tree.map(lambda a, b: jnp.where(choosing, a, b), held, self._free(after))
            return then, jnp.where(choosing, 0.0, reward), terminated & ~choosing

        def observe(self, physics: Pending) -> jax.Array:
            """The task's observation, and what waits."""
            seen = self.inner.observe(physics.physics)
            return jnp.concatenate([seen, physics.waiting.astype(seen.dtype)[None], physics.held])

        def qpos(self, physics: Pending) -> jax.Array:
            """The task's own."""
            return self.inner.qpos(physics.physics)

    Bifurcated.__name__ = Bifurcated.__qualname__ = f"Bifurcated{task.__name__}"
    Bifurcated.__doc__ = ABOUT.format(task=task.__name__, where=where)
    return Bifurcated


ABOUT = """{task}, where entropy is punished: {where}.

In that region an action is held, and the next one decides how well it is carried out: within a box around the held
action the reward is the task's own, elsewhere `penalty` less. Behind a fiddly action the box is `share` of all actions,
behind any other it is everything. Choosing takes no time and earns nothing. The best return is that of the task itself.

Source: ours, after the construction of arXiv 2506.05615.
"""


def is_good(held: jax.Array, action: jax.Array, share: Any) -> jax.Array:
    """Whether an action (a,) lies in the good box for a held one: `share` of [-1, 1]^a, around it as far as it fits."""
    half = jnp.asarray(share, jnp.float32) ** (1 / held.shape[-1])
    middle = jnp.clip(held, half - 1, 1 - half)
    return jnp.all(jnp.abs(action - middle) <= half + 1e-6)


def near_upright(env: Pendulum, physics: PendulumState) -> jax.Array:
    """Where the pendulum is held."""
    del env
    return (jnp.cos(physics.theta) > 0.9) & (jnp.abs(physics.speed) < 2.0)


def gentle(env: Pendulum, physics: PendulumState, action: jax.Array) -> jax.Array:
    """All torques but the largest, which do not hold it still."""
    del env, physics
    return jnp.abs(action[0]) < 0.95


def at_target(env: Vehicle, physics: VehicleState) -> jax.Array:
    """Within 3 m of the target."""
    target, _ = path(physics.target_arc, env.path_radius)
    return jnp.linalg.norm(target - physics.pose[:2]) < 3.0


def brakes(env: Vehicle, physics: VehicleState, action: jax.Array) -> jax.Array:
    """Slowing down."""
    del env, physics
    return action[0] < 0


BifurcatedPendulum = bifurcated(
    Pendulum, near_upright, gentle, "near upright (cosine > 0.9, slower than 2 rad/s), all but full torques are fiddly"
)
BifurcatedVehicle = bifurcated(
    Vehicle, at_target, brakes, "within 3 m of the target (where good drives stay), braking is fiddly"
)
