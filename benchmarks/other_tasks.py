"""Other libraries' tasks, stepped as they mean them to be stepped."""

import importlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import mujoco.rollout
import numpy as np

Run = Callable[[int], Any]
"""Takes that many control steps in each environment."""
ACTIONS = 32
"""Random actions that an environment repeats."""


def brax_hopper(parallel: int) -> tuple[Run, float]:
    """Brax's hopper on MJX with Brax's time limit and auto-reset, to one cached state; and seconds of compilation.

    Its Jacobian is made sparse: as shipped it factors the mass matrix by LAPACK, is 3 to 12 % slower, and on two cores
    may wait for ever, see `envs.mechanics.load`.
    """
    training = importlib.import_module("brax.envs.wrappers.training")
    hopper = importlib.import_module("brax.envs.hopper").Hopper(backend="mjx")
    sparse = mujoco.mjtJacobian.mjJAC_SPARSE  # pyright: ignore[reportAttributeAccessIssue] - a C type
    hopper.sys = hopper.sys.tree_replace({"opt.jacobian": sparse})
    env = training.wrap(hopper, episode_length=1000)
    actions = jax.random.uniform(jax.random.key(1), (ACTIONS, parallel, env.action_size), minval=-1.0)

    def rollout(keys: jax.Array, actions: jax.Array, steps: jax.Array) -> jax.Array:
        def step(index: jax.Array, carry: Any) -> Any:
            state, total = carry
            state = env.step(state, actions[index % ACTIONS])
            return state, total + state.obs.sum() + state.reward.sum() + state.done.sum()

        return jax.lax.fori_loop(0, steps, step, (env.reset(keys), jnp.zeros(())))[1]

    return compiled(rollout, jax.random.split(jax.random.PRNGKey(0), parallel), actions)


def gymnax_acrobot(parallel: int) -> tuple[Run, float]:
    """Acrobot-v1 of gymnax with its auto-reset; its physics are the same double pendulum, its actions three torques."""
    env, params = importlib.import_module("gymnax").make("Acrobot-v1")
    actions = jax.random.randint(jax.random.key(1), (ACTIONS, parallel), 0, 3)

    def rollout(key: jax.Array, actions: jax.Array, steps: jax.Array) -> jax.Array:
        first, key = jax.random.split(key)
        _, start = jax.vmap(env.reset, (0, None))(jax.random.split(first, parallel), params)

        def step(index: jax.Array, carry: Any) -> Any:
            state, key, total = carry
            key, own = jax.random.split(key)
            keys = jax.random.split(own, parallel)
            stepped = jax.vmap(env.step, (0, 0, 0, None))(keys, state, actions[index % ACTIONS], params)
            obs, state, reward = stepped[:3]
            return state, key, total + obs.sum() + reward.sum()

        return jax.lax.fori_loop(0, steps, step, (start, key, jnp.zeros(())))[2]

    return compiled(rollout, jax.random.key(0), actions)


def c_mujoco(task: Any, substeps: int, centre: Any, reach: float, parallel: int, threads: int = 2) -> tuple[Run, None]:
    """The physics of one of our tasks in C, by MuJoCo's own threaded rollout; no observation, reward or reset.

    Args:
      task: a task with an `mjcf`.
      substeps: steps of the scene per control step.
      centre: about what the control is drawn, in the actuators' units.
      reach: how far from there, likewise.
      parallel: environments.
      threads: of the rollout.

    Returns:
      A run; nothing is compiled.
    """
    bindings: Any = mujoco
    model = bindings.MjModel.from_xml_string(task.mjcf)
    datas = [bindings.MjData(model) for _ in range(threads)]
    datas[0].qpos[:] = np.asarray(task.qpos(task.start(jax.random.key(0))))
    kind = bindings.mjtState.mjSTATE_FULLPHYSICS
    start = np.zeros(bindings.mj_stateSize(model, kind))
    bindings.mj_getState(model, datas[0], start, kind)
    states = np.tile(start, (parallel, 1))
    drawn = centre + reach * np.random.default_rng(0).uniform(-1, 1, (parallel, ACTIONS, model.nu))
    control = drawn.repeat(substeps, axis=1)
    pool = bindings.rollout.Rollout(nthread=threads)

    def run(steps: int) -> None:
        blocks, rest = divmod(steps, ACTIONS)
        for block in [ACTIONS] * blocks + [rest] * (rest > 0):
            pool.rollout(model, datas, states, control[:, : block * substeps])

    return run, None


def compiled(rollout: Any, *arguments: Any) -> tuple[Run, float]:
    """A rollout, compiled for these arguments and any number of steps after them; and the seconds that this took."""
    began = time.perf_counter()
    program = jax.jit(rollout).lower(*arguments, np.int32(1)).compile()
    took = time.perf_counter() - began
    return lambda steps: program(*arguments, np.int32(steps)), took
