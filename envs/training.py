"""What training adds to a bare task: the time limit, the auto-reset, and a guard against states that are not finite."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from envs.base import Key


class Training(flax.struct.PyTreeNode, Env):
    """A bare task with its time limit and auto-reset; made by `for_training`.

    `step` returns, where an episode ended, the first state of the next one; `info` says how it ended:

    * `terminated`: 1. at a termination (also at a time-out where `env.timeout_is_termination`): no bootstrap.
    * `truncation`: 1. where the time limit (or the guard) ended the episode: bootstrap on `final_obs`.
    * `final_obs`: the observation that the step led to, before any reset.
    * `steps`: control steps since the episode began.
    * `key`: the source of the next episodes' random states.
    * `broken`: 1. where even the first state of the episode is not finite; there is nothing to learn from it.

    Where physics, observation or reward are not finite after a step, `metrics["nonfinite"]` is 1. The episode is
    truncated and the step becomes one that took no time, led nowhere and earned nothing, so that an agent which learns
    from it learns nothing wrong. Observations and rewards are always finite: a first observation that is not has 0
    in place of its broken numbers.
    """

    env: Any

    def reset(self, rng: Key) -> State:
        """A fresh episode; `rng` also feeds all later ones."""
        key, reset_key = jax.random.split(rng)
        state, broken = self._fresh(reset_key)
        zero = jnp.zeros_like(state.done)
        extra = {"truncation": zero, "final_obs": state.obs, "steps": jnp.zeros((), jnp.int32), "key": key}
        extra["broken"] = broken
        metrics = state.metrics | {"nonfinite": zero}
        return dataclasses.replace(state, info=state.info | extra, metrics=metrics)

    def step(self, state: State, action: jax.Array) -> State:
        """One control step, then a fresh random state where the episode ended."""
        state = self.step_to_end(state, action)
        return jax.lax.cond(anywhere(state.done > 0), self._begin_anew, lambda state: state, state)

    def step_to_end(self, state: State, action: jax.Array) -> State:
        """One control step with the time limit and the guard, but without the reset."""
        before: Any = state.obs
        state = self.env.step(state, action)
        sound = is_finite(state)
        steps = state.info["steps"] + state.info["duration"]
        out_of_time = steps >= self.env.horizon
        terminated = (state.info["terminated"] > 0) | (out_of_time & self.env.timeout_is_termination)
        terminated = terminated & sound
        done = terminated | out_of_time | ~sound
        flag = lambda condition: condition.astype(state.done.dtype)  # noqa: E731
        ends = {
            "terminated": flag(terminated),
            "truncation": flag(done & ~terminated),
            "duration": jnp.where(sound, state.info["duration"], 0),
            "final_obs": jnp.where(sound, state.obs, before),  # pyright: ignore[reportArgumentType] - ours are vectors
            "steps": steps,
        }
        return dataclasses.replace(
            state,
            reward=jnp.where(sound, state.reward, 0.0),
            done=flag(done),
            info=state.info | ends,
            metrics=state.metrics | {"nonfinite": flag(~sound)},
        )

    def _begin_anew(self, state: State) -> State:
        """The first state of a fresh episode where one ended."""
        key, reset_key = jax.random.split(state.info["key"])
        fresh, broken = self._fresh(reset_key)
        steps = state.info["steps"]
        begin = lambda new, old: jnp.where(state.done > 0, new, old)  # noqa: E731
        new = (fresh.pipeline_state, fresh.obs, key, jnp.zeros_like(steps), broken)
        old = (state.pipeline_state, state.obs, state.info["key"], steps, state.info["broken"])
        pipeline_state, obs, key, steps, broken = jax.tree.map(begin, new, old)
        info = state.info | {"key": key, "steps": steps, "broken": broken}
        return dataclasses.replace(state, pipeline_state=pipeline_state, obs=obs, info=info)

    def _fresh(self, key: Key) -> tuple[State, jax.Array]:
        """The first state of an episode, its observation made finite, and whether anything of it was not."""
        state = self.env.reset(key)
        obs: Any = state.obs
        whole = dataclasses.replace(state, obs=jnp.where(jnp.isfinite(obs), obs, jnp.zeros_like(obs)))
        return whole, (~is_finite(state)).astype(state.done.dtype)

    @property
    def observation_size(self) -> Any:
        """As the bare task's."""
        return self.env.observation_size

    @property
    def action_size(self) -> int:
        """As the bare task's."""
        return self.env.action_size

    @property
    def backend(self) -> str:
        """As the bare task's."""
        return self.env.backend


def for_training(env: Any) -> Training:
    """Add the time limit, the auto-reset from fresh random states, and the guard.

    Args:
      env: a bare task.

    Returns:
      An `Env` whose `step` never leaves the caller with an ended episode; see `Training`.
    """
    return Training(env)


def is_finite(state: State) -> jax.Array:
    """Whether all of a state's physics, observation and reward are finite numbers."""
    return are_finite((state.pipeline_state, state.obs, state.reward))


def are_finite(tree: Any) -> jax.Array:
    """() whether all real numbers of a tree are finite."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves], bool))


@jax.custom_batching.custom_vmap
def anywhere(flag: jax.Array) -> jax.Array:
    """Whether a flag is set in any environment that a surrounding `vmap` runs.

    The answer is not batched, so that a `cond` on it stays a choice: under `vmap` an ordinary condition is batched, and
    both branches run at every step. Resets then cost as much as steps do.
    """
    return flag


@anywhere.def_vmap
def _anywhere_of_batch(size: int, batched: list[bool], flag: jax.Array) -> tuple[jax.Array, bool]:
    del size
    return anywhere(jnp.any(flag, axis=0) if batched[0] else flag), False
