"""Stable-Baselines3, or SBX, which has its interface, on Gymnasium's Pendulum-v1.

Usage: python train_baselines.py stable_baselines3 | sbx
"""
# pyright: basic, reportMissingImports=false

import importlib
import os
import sys

import serve
import torch
from stable_baselines3.common.env_util import make_vec_env

PACKAGES = {
    "stable_baselines3": ("stable-baselines3", "torch", "gymnasium", "numpy"),
    "sbx": ("sbx-rl", "stable-baselines3", "jax", "flax", "optax", "gymnasium", "numpy"),
}


class Baselines(serve.Training):
    """`learn`, called again and again on one model."""

    def __init__(self, library, settings, seed):
        """Make the model."""
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.settings = settings
        shared = {
            "policy_kwargs": {"net_arch": list(settings["hidden"])},
            "learning_rate": settings["lr"],
            "gamma": settings["gamma"],
            "batch_size": settings["batch"],
            "seed": seed,
            "device": "cpu",
        }
        if settings["algorithm"] == "sac":
            self.model = library.SAC(
                "MlpPolicy",
                make_vec_env("Pendulum-v1", n_envs=1, seed=1000 * seed),
                **shared,
                tau=settings["tau"],
                buffer_size=settings["capacity"],
                learning_starts=settings["prefill"],
                train_freq=1,
                gradient_steps=1,
                ent_coef="auto",
            )
        else:
            self.model = library.PPO(
                "MlpPolicy",
                make_vec_env("Pendulum-v1", n_envs=settings["envs"], seed=1000 * seed),
                **shared,
                n_steps=settings["rollout"] // settings["envs"],
                n_epochs=settings["passes"],
                max_grad_norm=0.5,
                ent_coef=0.0,
            )

    def advance(self):
        """A call of `learn`."""
        steps, updates = self.model.num_timesteps, self.updates()
        options = {"reset_num_timesteps": steps == 0, "log_interval": None}
        seconds = serve.timed(lambda: self.model.learn(self.settings["chunk"], **options))
        return self.model.num_timesteps - steps, self.updates() - updates, seconds

    def updates(self):
        """Updates so far: SAC's, one a step from the first after `learning_starts` on; PPO's are not counted."""
        if self.settings["algorithm"] == "ppo":
            return 0
        return max(0, self.model.num_timesteps - self.settings["prefill"])

    def evaluate(self):
        """By the mean action; the model acts in torques, -2 to 2."""
        return serve.mean_return(lambda obs: self.model.predict(obs, deterministic=True)[0] / 2.0)


if __name__ == "__main__":
    library = importlib.import_module(sys.argv[1])
    serve.serve(serve.Trainings(lambda *asked: Baselines(library, *asked), PACKAGES[sys.argv[1]]))
