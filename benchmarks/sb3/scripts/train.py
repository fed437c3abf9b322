"""Train one seed with Stable-Baselines3 on Gymnasium's Pendulum-v1; runs in an environment that has both, without JAX.

Usage: python train.py SETTINGS_JSON SEED OUTPUT_JSON

The settings are {algorithm, envs, normalised, steps, every, curve_episodes, starts, arguments}: `arguments` go to the
algorithm's constructor as they are, `normalised` lets it act in [-1, 1] instead of torques, and the final return is the
mean over episodes that begin at `starts`, pairs of angle and angular velocity.
"""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

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
from stable_baselines3.common.vec_env import DummyVecEnv

TASK, HORIZON = "Pendulum-v1", 200


def make_envs(count, seed, normalised):
    """Environments in parallel; they take `count` seeds from this one on."""
    return make_vec_env(TASK, n_envs=count, seed=seed, wrapper_class=rescaled if normalised else None)


def rescaled(env):
    """With actions in [-1, 1]."""
    return gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))


def mean_return(model, env):
    """Mean undiscounted return of one episode in each environment by the mean action; all last HORIZON steps."""
    obs, total = env.reset(), 0.0
    for _ in range(HORIZON):
        obs, reward, _, _ = env.step(model.predict(obs, deterministic=True)[0])
        total += float(reward.mean())
    return total


class Start(gymnasium.Wrapper):
    """Begins every episode at the same angle and angular velocity."""

    def __init__(self, env, start):
        """`start` is both."""
        super().__init__(env)
        self.start = start

    def reset(self, **options):
        """There."""
        self.env.reset(**options)
        self.unwrapped.state = np.array(self.start)
        return self.unwrapped._get_obs(), {}


def final_return(model, starts, normalised):
    """Mean return of episodes that begin at `starts`."""

    def make(start):
        env = Start(gymnasium.make(TASK), start)
        return rescaled(env) if normalised else env

    return mean_return(model, DummyVecEnv([lambda start=start: make(start) for start in starts]))


class Curve(BaseCallback):
    """Evaluates the policy each time that `every` more steps were taken and learned from."""

    def __init__(self, every, env):
        """`env` is for evaluation alone."""
        super().__init__()
        self.every, self.eval_env, self.points = every, env, []

    def _on_rollout_start(self):
        if self.num_timesteps >= self.every * (len(self.points) + 1):
            self.points.append([self.num_timesteps, mean_return(self.model, self.eval_env)])

    def _on_step(self):
        return True


def train(settings, seed):
    """One seed's curve and final return."""
    torch.set_num_threads(1)
    normalised = settings["normalised"]
    env = make_envs(settings["envs"], 1000 * seed, normalised)
    eval_env = make_envs(settings["curve_episodes"], 1000 * seed + 500, normalised)
    algorithm = getattr(stable_baselines3, settings["algorithm"])
    # A thousand apart: parallel environments take consecutive seeds.
    model = algorithm("MlpPolicy", env, seed=1000 * seed, device="cpu", **settings["arguments"])
    curve = Curve(settings["every"], eval_env)
    started = time.perf_counter()
    model.learn(settings["steps"], callback=curve)
    return {
        "seed": seed,
        "return": final_return(model, settings["starts"], normalised),
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
