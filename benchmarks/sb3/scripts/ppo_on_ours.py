"""Train Stable-Baselines3's PPO on one of our Gymnasium environments, in the environment that has torch.

Usage: python ppo_on_ours.py ID STEPS FOLDER...

The folders, the checkout and those with JAX, come after its own on the path. The last line of the output is the mean
return of 20 episodes before and after.
"""
# pyright: basic, reportMissingImports=false

import sys

task, steps, *folders = sys.argv[1:]
sys.path.extend(folders)

from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402

import envs  # noqa: E402, F401 - registers ours

settings = {"learning_rate": 1e-3, "n_steps": 1024, "gamma": 0.9, "gae_lambda": 0.95, "n_epochs": 10, "batch_size": 64}
many = make_vec_env(task, n_envs=4, seed=0)
model = PPO("MlpPolicy", many, seed=0, device="cpu", **settings)
before, _ = evaluate_policy(model, make_vec_env(task, seed=1), n_eval_episodes=20)
model.learn(int(steps))
after, _ = evaluate_policy(model, make_vec_env(task, seed=1), n_eval_episodes=20)
print(before, after)
