"""All agents, one update each, straight from their equations in torch and 64 bits.

Usage: python torch_update.py FOLDER

FOLDER holds jobs.json and, for each job, arrays of the weights, Adam's moments, the batch and the noise; for each one
of peer `torch` the weights and moments after the update are written beside them.
"""
# pyright: basic, reportMissingImports=false

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch_parts
from torch.nn import functional
from torch_deterministic import DDPG, TD3
from torch_parts import Learner, dense, tensors, torso


def normal_log_prob(x, mean, log_std):
    """Log-density of a diagonal normal."""
    return torch.distributions.Normal(mean, log_std.exp()).log_prob(x).sum(-1)


def cosine_from_the_lowest(soft, plain):
    """(B, n), (B, n) -> (B,): each landscape less its own minimum, then their cosine."""
    soft, plain = (q - q.min(-1, keepdim=True).values for q in (soft, plain))
    return (soft * plain).sum(-1) / (soft.norm(dim=-1) * plain.norm(dim=-1))


class SAC:
    """Soft actor-critic, and with `plain` critics SAC-AdaEnt."""

    def __init__(self, arrays, fields, adaptive):
        """`adaptive`: SAC-AdaEnt."""
        self.fields, self.depth = fields, len(fields["hidden"])
        self.actor = Learner(arrays, "actor", fields["lr"])
        self.critic = Learner(arrays, "critic", fields["lr"])
        self.temperature = Learner(arrays, "temperature", fields["alpha_lr"])
        self.plain = Learner(arrays, "plain_critic", fields["lr"]) if adaptive else None

    def q(self, params, obs, action):
        """(2, ...) values of the twins."""
        return torch_parts.q(params, self.depth, obs, action)

    def soft_value(self, obs, action, log_prob, alpha, noise):
        """What a state is worth, by one action of the policy."""
        return self.q(self.critic.target, obs, action).min(0).values - alpha * log_prob

    def policy(self, obs):
        """Mean and log standard deviation before tanh."""
        x = torso(self.actor.params, self.depth, obs, functional.relu)
        return dense(self.actor.params, "mean", x), dense(self.actor.params, "log_std", x).clamp(-20, 2)

    def sample(self, obs, noise):
        """Squashed actions and their log-densities."""
        mean, log_std = self.policy(obs)
        x = mean + log_std.exp() * noise
        action = torch.tanh(x)
        return action, normal_log_prob(x, mean, log_std) - torch.log(1 - action**2).sum(-1)

    def update(self, batch, noise):
        """One update; returns what was seen on the way."""
        fields, obs, next_obs, seen = self.fields, batch["obs"], batch["next_obs"], {}
        auto = fields["auto_alpha"]
        alpha = self.temperature.params["value"].exp().detach() if auto else fields["alpha"]

        with torch.no_grad():
            next_action, next_log_prob = self.sample(next_obs, noise["next"])
            discount = fields["gamma"] ** batch["duration"] * (1 - batch["terminated"])
            soft = self.soft_value(next_obs, next_action, next_log_prob, alpha, noise)
            targets = [(self.critic, batch["reward"] + discount * soft)]
            if self.plain:
                plain = self.q(self.plain.target, next_obs, next_action).min(0).values
                targets.append((self.plain, batch["reward"] + discount * plain))
        for critic, target in targets:
            critic.descend(0.5 * ((self.q(critic.params, obs, batch["action"]) - target) ** 2).mean(1).sum())

        action, log_prob = self.sample(obs, noise["actor"])
        value = self.q(self.critic.params, obs, action).min(0).values
        if self.plain:
            with torch.no_grad():
                n = noise["landscape"].shape[1]
                mean, log_std = self.policy(obs)
                drawn = torch.tanh(mean[:, None] + log_std.exp()[:, None] * noise["landscape"]).flatten(0, 1)
                repeated = obs[:, None].expand(-1, n, -1).flatten(0, 1)
                landscapes = [
                    self.q(critic.params, repeated, drawn).min(0).values.reshape(-1, n)
                    for critic in (self.critic, self.plain)
                ]
                seen["similarity"] = cosine_from_the_lowest(*landscapes)
            plain = self.q(self.plain.params, obs, action).min(0).values
            value = torch.where(seen["similarity"] < fields["threshold"], plain, value)
        self.actor.descend((alpha * log_prob - value).mean())

        if auto:
            goal = -float(action.shape[-1]) if fields["target_entropy"] is None else fields["target_entropy"]
            surplus = (-log_prob.detach() - goal).mean()
            self.temperature.descend(self.temperature.params["value"] * surplus)
        for critic, _ in targets:
            critic.follow(fields["tau"])
        return seen

    def end(self):
        """All learners."""
        learners = filter(None, (self.actor, self.critic, self.temperature, self.plain))
        return {name: x for learner in learners for name, x in learner.end().items()}


class SACLite(SAC):
    """SAC whose critics know no entropy."""

    def soft_value(self, obs, action, log_prob, alpha, noise):
        """What a state is worth without entropy."""
        return self.q(self.critic.target, obs, action).min(0).values


class SQL(SAC):
    """Soft Q-learning."""

    def soft_value(self, obs, action, log_prob, alpha, noise):
        """Alpha log of the integral of exp(Q / alpha), estimated from (n, B, a) actions of a mixture."""
        mean, log_std = self.policy(obs)
        even, drawn = noise["even"], len(action)
        log_even = normal_log_prob(torch.atanh(even), mean, log_std) - torch.log(1 - even**2).sum(-1)
        action, log_policy = torch.cat([action, even]), torch.cat([log_prob, log_even])
        n, size = len(action), action.shape[-1]
        density = drawn / n * log_policy.exp() + (n - drawn) / n / 2**size
        q = self.q(self.critic.target, obs.expand(n, -1, -1), action).min(0).values
        return alpha * torch.log(torch.mean(torch.exp(q / alpha) / density, 0))


class PPO:
    """Proximal policy optimisation."""

    def __init__(self, arrays, fields):
        """Policy and value are one learner."""
        self.fields, self.depth = fields, len(fields["hidden"])
        self.policy = Learner(arrays, "policy", fields["lr"], fields["adam_eps"])

    def _net(self, name):
        return {k.removeprefix(name + "/"): v for k, v in self.policy.params.items() if k.startswith(name + "/")}

    def distribution(self, obs):
        """Mean and log standard deviation."""
        net = self._net("actor")
        x = torso(net, self.depth, obs, torch.tanh)
        mean = dense(net, "mean", x)
        if self.fields["state_dependent_std"]:
            return mean, dense(net, "log_std", x).clamp(-20, 2)
        return mean, net["log_std"].expand_as(mean)

    def value(self, obs):
        """V."""
        net = self._net("value")
        return dense(net, f"Dense_{self.depth}", torso(net, self.depth, obs, torch.tanh))[..., 0]

    @torch.no_grad()
    def advantages(self, step, done):
        """(T, N) generalised advantages, episode by episode, and value targets."""
        gamma, lam = self.fields["gamma"], self.fields["gae_lambda"]
        value, next_value = self.value(step["obs"]), self.value(step["next_obs"])
        advantage = torch.zeros_like(value)
        for n in range(value.shape[1]):
            ahead = 0.0
            for t in reversed(range(value.shape[0])):
                if done[t, n]:
                    ahead = 0.0
                later = 0.0 if step["terminated"][t, n] else gamma ** step["duration"][t, n] * next_value[t, n]
                ahead = step["reward"][t, n] + later - value[t, n] + (gamma * lam) ** step["duration"][t, n] * ahead
                advantage[t, n] = ahead
        return advantage, advantage + value

    def update(self, batch, noise):
        """All passes over one rollout."""
        fields = self.fields
        step = {k.removeprefix("transition/"): v for k, v in batch.items()}
        flat = {k: v.flatten(0, 1) for k, v in step.items() if k in ("obs", "action")}
        with torch.no_grad():
            old = normal_log_prob(flat["action"], *self.distribution(flat["obs"]))
        advantage, target = self.advantages(step, batch["done"])
        for order in noise["order"].long():
            if fields["recompute_advantages"]:
                advantage, target = self.advantages(step, batch["done"])
            for rows in order.split(fields["batch_size"]):
                a, goal = advantage.flatten()[rows], target.flatten()[rows]
                if fields["normalise_advantages"]:
                    a = (a - a.mean()) / (a.std() + 1e-8)
                obs = flat["obs"][rows]
                mean, log_std = self.distribution(obs)
                ratio = (normal_log_prob(flat["action"][rows], mean, log_std) - old[rows]).exp()
                gain = torch.minimum(ratio * a, ratio.clamp(1 - fields["clip"], 1 + fields["clip"]) * a).mean()
                error = ((self.value(obs) - goal) ** 2).mean()
                entropy = torch.distributions.Normal(mean, log_std.exp()).entropy().sum(-1).mean()
                loss = -gain + fields["value_coef"] * error - fields["entropy_coef"] * entropy
                self.policy.descend(loss, fields["max_grad_norm"])
        return {}

    def end(self):
        """The one learner."""
        return self.policy.end()


def agent(job, arrays):
    """What is to be updated."""
    fields, name = job["fields"], job["algorithm"]
    if name == "SACAnnealed":
        fields |= {"alpha": fields["alpha"] * max(0, 1 - job["progress"] / fields["anneal_share"])}
    if name in ("SAC", "SACAnnealed", "SACAdaEnt"):
        return SAC(arrays, fields, adaptive=name == "SACAdaEnt")
    if name in ("SACLite", "SQL"):
        return {"SACLite": SACLite, "SQL": SQL}[name](arrays, fields, adaptive=False)
    return {"PPO": PPO, "DDPG": DDPG, "TD3": TD3}[name](arrays, fields)


def main(folder):
    """Do all jobs."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    for job in json.loads((folder / "jobs.json").read_text()):
        if job["peer"] != "torch":
            continue
        with np.load(folder / f"{job['stem']}.npz") as file:
            arrays = dict(file)
        parts = {part: tensors(arrays, part) for part in ("batch/", "noise/")}
        updated = agent(job, arrays)
        seen = updated.update(parts["batch/"], parts["noise/"])
        np.savez(folder / f"{job['stem']}.torch.npz", **updated.end(), **{k: v.numpy() for k, v in seen.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
