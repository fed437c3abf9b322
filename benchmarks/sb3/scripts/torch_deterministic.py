"""DDPG and TD3, one update each, from their equations."""
# pyright: basic, reportMissingImports=false

import torch
import torch_parts
from torch.nn import functional
from torch_parts import Learner, dense, torso


class DDPG:
    """Deep deterministic policy gradient."""

    def __init__(self, arrays, fields):
        """Actor and critics, each with slow copies."""
        self.fields, self.depth = fields, len(fields["hidden"])
        self.actor = Learner(arrays, "actor", fields["lr"])
        self.critic = Learner(arrays, "critic", fields["lr"])

    def policy(self, params, obs):
        """Actions."""
        return torch.tanh(dense(params, "mean", torso(params, self.depth, obs, functional.relu)))

    def next_action(self, obs, noise):
        """What targets are made with."""
        return self.policy(self.actor.target, obs)

    def due(self):
        """Whether the actor moves now."""
        return True

    def update(self, batch, noise):
        """One update."""
        fields, obs = self.fields, batch["obs"]
        with torch.no_grad():
            action = self.next_action(batch["next_obs"], noise)
            value = torch_parts.q(self.critic.target, self.depth, batch["next_obs"], action).min(0).values
            target = batch["reward"] + fields["gamma"] ** batch["duration"] * (1 - batch["terminated"]) * value
        errors = torch_parts.q(self.critic.params, self.depth, obs, batch["action"]) - target
        self.critic.descend(0.5 * (errors**2).mean(1).sum())
        if self.due():
            q = torch_parts.q(self.critic.params, self.depth, obs, self.policy(self.actor.params, obs))
            self.actor.descend(-q[0].mean())
            self.actor.follow(fields["tau"])
            self.critic.follow(fields["tau"])
        return {}

    def end(self):
        """Both learners."""
        return self.actor.end() | self.critic.end()


class TD3(DDPG):
    """Twin delayed deterministic policy gradient."""

    def next_action(self, obs, noise):
        """With noise."""
        clip = self.fields["target_clip"]
        return (super().next_action(obs, noise) + (self.fields["target_std"] * noise["next"]).clamp(-clip, clip)).clamp(
            -1, 1
        )

    def due(self):
        """In every `policy_delay`-th update of the critics, counted by their optimiser."""
        steps = {int(state["step"]) for state in self.critic.adam.state.values()}
        return steps.pop() % self.fields["policy_delay"] == 0
