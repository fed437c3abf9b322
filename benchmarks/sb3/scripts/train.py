"""Train one seed with Stable-Baselines3 on Gymnasium's Pendulum-v1; runs in an environment that has both, without JAX.

Usage: python train.py SETTINGS_JSON SEED OUTPUT_JSON

The settings are {algorithm, envs, normalised, steps, every, curve_episodes, final_episodes, arguments}: `arguments` go
to the algorithm's constructor as they are, `normalised` lets it act in [-1, 1] instead of torques.
"""
# pyright: basic, reportMissingImports=false

import json
import os
import sys
import time

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

TASK, HORIZON = "Pendulum-v1", 200


def make_envs(count, seed, normalised):
    """Environments in parallel."""

    def wrapped(env):
        return gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1)) if normalised else env

    return make_vec_env(TASK, n_envs=count, seed=seed, wrapper_class=wrapped)


def mean_return(model, episodes, seed, normalised):
    """Mean undiscounted return of whole episodes by the mean action; every episode lasts exactly HORIZON steps."""
    env = make_envs(episodes, seed, normalised)
    obs, total = env.reset(), 0.0
    for _ in range(HORIZON):
        obs, reward, _, _ = env.step(model.predict(obs, deterministic=True)[0])
        total += float(reward.mean())
    env.close()
    return total


class Curve(BaseCallback):
    """Evaluates the policy each time that `every` more steps were taken and learned from."""

    def __init__(self, every, *how):
        """`how` are the last arguments of `mean_return`."""
        super().__init__()
        self.every, self.how, self.points = every, how, []

    def _on_rollout_start(self):
        if self.num_timesteps >= self.every * (len(self.points) + 1):
            self.points.append([self.num_timesteps, mean_return(self.model, *self.how)])

    def _on_step(self):
        return True


def train(settings, seed):
    """One seed's curve and final return."""
    torch.set_num_threads(1)
    normalised = settings["normalised"]
    env = make_envs(settings["envs"], seed, normalised)
    algorithm = getattr(stable_baselines3, settings["algorithm"])
    model = algorithm("MlpPolicy", env, seed=seed, device="cpu", **settings["arguments"])
    curve = Curve(settings["every"], settings["curve_episodes"], 10_000 + seed, normalised)
    started = time.perf_counter()
    model.learn(settings["steps"], callback=curve)
    return {
        "seed": seed,
        "return": mean_return(model, settings["final_episodes"], 20_000 + seed, normalised),
        "curve": curve.points,
        "env_steps": model.num_timesteps,
        "train_and_evaluate_seconds": time.perf_counter() - started,
        "versions": {
            "stable-baselines3": stable_baselines3.__version__,
            "torch": torch.__version__,
            "gymnasium": gymnasium.__version__,
        },
    }


if __name__ == "__main__":
    result = train(json.loads(sys.argv[1]), int(sys.argv[2]))
    with open(sys.argv[3] + ".part", "w") as file:
        json.dump(result, file)
    os.replace(sys.argv[3] + ".part", sys.argv[3])
