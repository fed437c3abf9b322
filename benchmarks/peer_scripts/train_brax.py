"""Brax's SAC and PPO on a pendulum written for it: it has none of its own.

Its `train` is one call that compiles anew and ends when all is done. So it runs in a thread and is held where it calls
back: it goes on for an epoch whenever it is asked to. The seconds are its own, of the epoch alone.
"""
# pyright: basic, reportMissingImports=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

import functools
import queue
import threading

import jax
import jax.numpy as jnp
import serve
from brax.envs.base import Env, State
from brax.training.agents.ppo import networks as ppo_networks
from brax.training.agents.ppo import train as ppo
from brax.training.agents.sac import networks as sac_networks
from brax.training.agents.sac import train as sac

EPOCHS = 100_000
"""More than are ever trained."""
EVALUATION_EPISODES = len(serve.STARTS)


class Pendulum(Env):
    """Gymnasium's Pendulum-v1, with actions in [-1, 1]; the physics are (angle, angular velocity)."""

    def reset(self, rng):
        """A uniform start."""
        physics = jax.random.uniform(rng, (2,), minval=-1.0) * jnp.array([jnp.pi, 1.0])
        return State(physics, self.observe(physics), jnp.zeros(()), jnp.zeros(()))

    def step(self, state, action):
        """One Euler step."""
        theta, speed = state.pipeline_state
        torque = 2.0 * jnp.clip(action[0], -1.0, 1.0)
        wrapped = (theta + jnp.pi) % (2 * jnp.pi) - jnp.pi
        reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
        speed = jnp.clip(speed + 0.05 * (15.0 * jnp.sin(theta) + 3.0 * torque), -8.0, 8.0)
        physics = jnp.stack([theta + 0.05 * speed, speed])
        return state.replace(pipeline_state=physics, obs=self.observe(physics), reward=reward)

    def observe(self, physics):
        """cos, sin, angular velocity."""
        return jnp.array([jnp.cos(physics[0]), jnp.sin(physics[0]), physics[1]])

    @property
    def observation_size(self):
        """Three."""
        return 3

    @property
    def action_size(self):
        """A torque."""
        return 1

    @property
    def backend(self):
        """None of Brax's."""
        return "none"


def train_call(settings, seed, progress):
    """Brax's call, ready to be made."""
    shared = {
        "environment": Pendulum(),
        "num_timesteps": settings["chunk"] * EPOCHS,
        "num_evals": EPOCHS + 1,
        "episode_length": serve.HORIZON,
        "learning_rate": settings["lr"],
        "discounting": settings["gamma"],
        "num_eval_envs": EVALUATION_EPISODES,
        "deterministic_eval": True,
        "seed": seed,
        "progress_fn": progress,
    }
    hidden = tuple(settings["hidden"])
    if settings["algorithm"] == "sac":
        return functools.partial(
            sac.train,
            **shared,
            num_envs=1,
            batch_size=settings["batch"],
            grad_updates_per_step=1,
            tau=settings["tau"],
            min_replay_size=settings["prefill"],
            max_replay_size=settings["capacity"],
            network_factory=functools.partial(sac_networks.make_sac_networks, hidden_layer_sizes=hidden),
        )
    # A minibatch is some pieces of trajectories: 4 of 16 steps are as many transitions as the others' 64.
    pieces = settings["batch"] // 16
    return functools.partial(
        ppo.train,
        **shared,
        run_evals=False,
        num_envs=settings["envs"],
        unroll_length=16,
        batch_size=pieces,
        num_minibatches=settings["rollout"] // settings["batch"],
        num_updates_per_batch=settings["passes"],
        entropy_cost=0.0,
        clipping_epsilon=0.2,
        max_grad_norm=0.5,
        network_factory=functools.partial(
            ppo_networks.make_ppo_networks,
            policy_hidden_layer_sizes=hidden,
            value_hidden_layer_sizes=hidden,
            activation=jnp.tanh,
        ),
    )


class Brax(serve.Training):
    """Brax's call in a thread, an epoch at a time."""

    def __init__(self, settings, seed):
        """Start it; it waits at its first call back, or before its first epoch."""
        self.settings, self.go, self.done, self.steps = settings, threading.Semaphore(0), queue.Queue(), 0
        call = train_call(settings, seed, self.progress)

        def run():
            self.go.acquire()
            try:
                call()
            except BaseException as error:
                self.done.put(error)

        threading.Thread(target=run, daemon=True).start()

    def progress(self, steps, metrics):
        """After each epoch: report and wait. The evaluation before the first epoch is no epoch."""
        if steps:
            self.done.put((steps, metrics))
            self.go.acquire()

    def advance(self):
        """An epoch; SAC updates once a step after the prefill."""
        self.go.release()
        found = self.done.get()
        if isinstance(found, BaseException):
            raise found
        steps, self.metrics = found
        trained = self.settings["chunk"]  # what its rate counts: the prefill is not in it
        taken, self.steps = steps - self.steps, steps
        updates = trained if self.settings["algorithm"] == "sac" else 0
        return taken, updates, trained / float(self.metrics["training/sps"])

    def evaluate(self):
        """Its own evaluation by the mean action, over as many episodes as the others'."""
        return float(self.metrics["eval/episode_reward"])


if __name__ == "__main__":
    serve.serve(serve.Trainings(Brax, ("brax", "jax", "flax", "optax", "numpy")))
