"""One update by Stable-Baselines3's own `train()`, our weights, Adam's moments, batch and noise put in its hands.

Usage: python sb3_update.py FOLDER

FOLDER holds what torch_update.py describes; this does the jobs of peer `sb3`. SAC finds the batch in its replay buffer;
PPO collects its rollout itself, from environments that play the given one back.
"""
# pyright: basic, reportMissingImports=false, reportArgumentType=false

import json
import sys
from pathlib import Path
from unittest import mock

import gymnasium
import numpy as np
import torch
from stable_baselines3 import DDPG, PPO, SAC, TD3
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv


class Playback(gymnasium.Env):
    """Column n of a (T, N) rollout, whatever the actions are."""

    def __init__(self, batch, n):
        """`batch` is the whole rollout."""
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, batch["obs"].shape[-1:], np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, batch["action"].shape[-1:], np.float32)
        self.batch, self.n, self.t = batch, n, 0

    def reset(self, seed=None, options=None):
        """Where the next episode begins; at first, where the rollout does."""
        return (self.batch["fresh"][self.t - 1, self.n] if self.t else self.batch["obs"][0, self.n]), {}

    def step(self, action):
        """The next line of the script."""
        at, self.t = (self.t, self.n), self.t + 1
        obs, reward, terminated, truncated = (
            self.batch[name][at] for name in ("next_obs", "reward", "terminated", "truncated")
        )
        return obs, float(reward), bool(terminated), bool(truncated), {}


def linear(net, theirs, ours):
    """Where a linear layer of ours is in theirs."""
    return {f"{ours}/kernel": [net[f"{theirs}.weight"]], f"{ours}/bias": [net[f"{theirs}.bias"]]}


def layers(net, theirs, ours, count):
    """Where consecutive linear layers are; theirs have activations between."""
    found = {}
    for i in range(count):
        found |= linear(net, f"{theirs}.{2 * i}", f"{ours}Dense_{i}")
    return found


def stacked(critic, depth):
    """Where all critics are: by path, a tensor of each."""
    net = dict(critic.named_parameters())
    each = [layers(net, f"qf{i}", "", depth + 1) for i in range(critic.n_critics)]
    return {path: [tree[path][0] for tree in each] for path in each[0]}


def sac_places(model, depth):
    """By `LEARNER.PART` and path: the tensor, or for twins the tensors."""
    actor = dict(model.actor.named_parameters())
    mean_and_std = linear(actor, "mu", "mean") | linear(actor, "log_std", "log_std")
    places = {
        "actor.params": layers(actor, "latent_pi", "", depth) | mean_and_std,
        "critic.params": stacked(model.critic, depth),
        "critic.target": stacked(model.critic_target, depth),
    }
    optimisers = {"actor": model.actor.optimizer, "critic": model.critic.optimizer}
    if model.ent_coef_optimizer:
        places["temperature.params"] = {"value": [model.log_ent_coef]}
        optimisers["temperature"] = model.ent_coef_optimizer
    return places, optimisers


def ddpg_places(model, depth):
    """As `sac_places`."""

    def actor(net):
        net = dict(net.named_parameters())
        return layers(net, "mu", "", depth) | linear(net, f"mu.{2 * depth}", "mean")

    places = {
        "actor.params": actor(model.actor),
        "actor.target": actor(model.actor_target),
        "critic.params": stacked(model.critic, depth),
        "critic.target": stacked(model.critic_target, depth),
    }
    return places, {"actor": model.actor.optimizer, "critic": model.critic.optimizer}


def ppo_places(model, depth):
    """As `sac_places`."""
    net = dict(model.policy.named_parameters())
    actor = layers(net, "mlp_extractor.policy_net", "actor/", depth) | linear(net, "action_net", "actor/mean")
    value = layers(net, "mlp_extractor.value_net", "value/", depth) | linear(net, "value_net", f"value/Dense_{depth}")
    places = {"policy.params": actor | value | {"actor/log_std": [net["log_std"]]}}
    return places, {"policy": model.policy.optimizer}


def to_theirs(array, path, like):
    """One tensor from an array of ours."""
    array = torch.tensor(np.asarray(array, np.float32))
    return (array.mT if path.endswith("kernel") else array).reshape(like.shape)


def to_ours(tensors, path):
    """An array as ours from one tensor, or from twins."""
    arrays = [x.detach().numpy().T if path.endswith("kernel") else x.detach().numpy() for x in tensors]
    return np.stack(arrays) if len(arrays) > 1 else arrays[0].reshape(() if path == "value" else arrays[0].shape)


def put(arrays, places, optimisers):
    """Our weights and moments into theirs."""
    for name, tensors in places.items():
        learner, _, part = name.partition(".")
        step = torch.tensor(float(arrays[f"start/{learner}.count/value"]))
        for path, twins in tensors.items():
            kinds = (part, "mu", "nu") if part == "params" else (part,)
            columns = [arrays[f"start/{learner}.{kind}/{path}"] for kind in kinds]
            rows = zip(*columns, strict=True) if len(twins) > 1 else [columns]
            for tensor, row in zip(twins, rows, strict=True):
                value, *moments = (to_theirs(x, path, tensor) for x in row)
                with torch.no_grad():
                    tensor.copy_(value)
                if moments:
                    mu, nu = moments
                    optimisers[learner].state[tensor] = {"step": step.clone(), "exp_avg": mu, "exp_avg_sq": nu}


def taken(places, optimisers):
    """Their weights and moments by our names."""
    end = {f"{name}/{path}": to_ours(twins, path) for name, tree in places.items() for path, twins in tree.items()}
    for learner, optimiser in optimisers.items():
        for part, key in (("mu", "exp_avg"), ("nu", "exp_avg_sq")):
            for path, twins in places[f"{learner}.params"].items():
                end[f"{learner}.{part}/{path}"] = to_ours([optimiser.state[x][key] for x in twins], path)
    return end


def playing(noise):
    """Let torch's normal distributions draw the given numbers, in this order."""
    waiting = iter([torch.tensor(np.asarray(x, np.float32)) for x in noise])

    def draw(*_, **__):
        return next(waiting)

    return mock.patch("torch.distributions.normal._standard_normal", draw)


def replaying(model, batch):
    """Let a model's replay buffer hold exactly the batch, and give all of it whenever it is asked."""
    model.set_logger(Logger(None, []))
    buffer, size = model.replay_buffer, len(batch["reward"])
    for i in range(size):
        over = bool(batch["terminated"][i] or batch["truncated"][i])
        infos = [{"TimeLimit.truncated": bool(batch["truncated"][i])}]
        row = {k: batch[k][i : i + 1] for k in ("obs", "next_obs", "action", "reward")}
        buffer.add(row["obs"], row["next_obs"], row["action"], row["reward"], np.array([over]), infos)

    def everything(*_, **__):
        return buffer._get_samples(np.arange(size))

    return mock.patch.object(buffer, "sample", everything)


def off_policy(kind, fields, batch, **own):
    """A model of SAC's or TD3's family with our settings."""
    return kind(
        "MlpPolicy",
        DummyVecEnv([lambda: Playback(batch, 0)]),
        learning_rate=fields["lr"],
        gamma=fields["gamma"],
        tau=fields["tau"],
        buffer_size=len(batch["reward"]),
        policy_kwargs={"net_arch": list(fields["hidden"])},
        device="cpu",
        **own,
    )


def sac(arrays, fields, batch):
    """One call of `SAC.train` on a replay buffer that holds exactly the batch."""
    model = off_policy(SAC, fields, batch, ent_coef="auto" if fields["auto_alpha"] else fields["alpha"])
    places, optimisers = sac_places(model, len(fields["hidden"]))
    put(arrays, places, optimisers)
    with replaying(model, batch), playing([arrays["noise/actor"], arrays["noise/next"]]):
        model.train(gradient_steps=1, batch_size=len(batch["reward"]))
    return taken(places, optimisers)


def td3(arrays, fields, batch):
    """The same of `TD3.train`."""
    noise = {"policy_delay": "policy_delay", "target_policy_noise": "target_std", "target_noise_clip": "target_clip"}
    model = off_policy(TD3, fields, batch, **{theirs: fields[ours] for theirs, ours in noise.items()})
    return deterministic(model, arrays, fields, batch)


def ddpg(arrays, fields, batch):
    """The same of `DDPG.train`."""
    return deterministic(off_policy(DDPG, fields, batch), arrays, fields, batch)


def deterministic(model, arrays, fields, batch):
    """One update of TD3 or DDPG. Their critics' loss is twice ours, which Adam does not see if its moments fit."""
    places, optimisers = ddpg_places(model, len(fields["hidden"]))
    put(arrays | moments(arrays, 2.0), places, optimisers)
    model._n_updates = int(arrays["start/critic.count/value"])

    def drawn(actions, mean, std):
        noise = arrays.get("noise/next", np.zeros_like(batch["action"]))
        return mean + std * torch.tensor(np.asarray(noise, np.float32))

    with replaying(model, batch), mock.patch("torch.Tensor.normal_", drawn):
        model.train(gradient_steps=1, batch_size=len(batch["reward"]))
    end = taken(places, optimisers)
    return end | moments(end, 0.5)


def moments(arrays, scale):
    """Adam's moments of the critics if their gradients are scaled."""
    powers = {"critic.mu": scale, "critic.nu": scale**2}
    found = {path: powers.get(path.removeprefix("start/").partition("/")[0]) for path in arrays}
    return {path: arrays[path] * power for path, power in found.items() if power}


def ppo(arrays, fields, batch):
    """`PPO.collect_rollouts` and one call of `PPO.train`."""
    steps, envs = batch["reward"].shape
    env = DummyVecEnv([lambda n=n: Playback(batch, n) for n in range(envs)])
    model = PPO(
        "MlpPolicy",
        env,
        learning_rate=fields["lr"],
        n_steps=steps,
        batch_size=fields["batch_size"],
        n_epochs=fields["passes"],
        gamma=fields["gamma"],
        gae_lambda=fields["gae_lambda"],
        clip_range=fields["clip"],
        normalize_advantage=fields["normalise_advantages"],
        ent_coef=fields["entropy_coef"],
        vf_coef=fields["value_coef"],
        max_grad_norm=fields["max_grad_norm"],
        policy_kwargs={
            "net_arch": list(fields["hidden"]),
            "optimizer_kwargs": {"eps": fields["adam_eps"]},
        },
        device="cpu",
    )
    model.set_logger(Logger(None, []))
    places, optimisers = ppo_places(model, len(fields["hidden"]))
    put(arrays, places, optimisers)
    model._last_obs, model._last_episode_starts = env.reset(), np.ones(envs, bool)
    callback = CallbackList([])
    callback.init_callback(model)
    model.ep_info_buffer, model.ep_success_buffer = [], []
    with playing(batch["action_noise"]):
        model.collect_rollouts(env, callback, model.rollout_buffer, steps)
    apart = np.abs(model.rollout_buffer.actions - batch["action"]).max()
    assert apart < 1e-5, f"the policies act differently, by {apart}"
    # Our rows are t * envs + n, theirs n * steps + t.
    rows = [order % envs * steps + order // envs for order in arrays["noise/order"]]
    with mock.patch("numpy.random.permutation", mock.Mock(side_effect=rows)):
        model.train()
    return taken(places, optimisers)


def main(folder):
    """Do all jobs."""
    torch.set_num_threads(1)
    for job in json.loads((folder / "jobs.json").read_text()):
        if job["peer"] != "sb3":
            continue
        with np.load(folder / f"{job['stem']}.npz") as file:
            arrays = dict(file)
        batch = {
            k.removeprefix("batch/").removeprefix("transition/"): v for k, v in arrays.items() if k.startswith("batch/")
        }
        update = {"SAC": sac, "PPO": ppo, "TD3": td3, "DDPG": ddpg}[job["algorithm"]]
        np.savez(folder / f"{job['stem']}.sb3.npz", **update(arrays, job["fields"], batch))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
