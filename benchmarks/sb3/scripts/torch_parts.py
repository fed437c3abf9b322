"""What the torch computations of all agents are made of: learners, layers, critics."""
# pyright: basic, reportMissingImports=false

import math

import torch
from torch.nn import functional


class Learner:
    """Parameters by path, their slow copies, and Adam in the midst of its work."""

    def __init__(self, arrays, name, lr, eps=1e-8):
        """Read from the arrays that begin with `start/NAME.`."""
        self.name = name
        self.params = {k: v.clone().requires_grad_() for k, v in self._part(arrays, "params").items()}
        self.target = self._part(arrays, "target")
        self.adam = torch.optim.Adam(list(self.params.values()), lr=lr, eps=eps)
        mu, nu, count = (self._part(arrays, part) for part in ("mu", "nu", "count"))
        for path, param in self.params.items():
            self.adam.state[param] = {"step": count["value"].clone(), "exp_avg": mu[path], "exp_avg_sq": nu[path]}

    def _part(self, arrays, part):
        prefix = f"start/{self.name}.{part}/"
        return tensors(arrays, prefix)

    def descend(self, loss, max_norm=math.inf):
        """One step of Adam down the gradient, which is shortened to max_norm."""
        self.adam.zero_grad()
        loss.backward(inputs=list(self.params.values()))
        norm = torch.sqrt(sum((param.grad**2).sum() for param in self.params.values()))
        if norm > max_norm:
            for param in self.params.values():
                param.grad *= max_norm / norm
        self.adam.step()

    def follow(self, tau):
        """Let the slow copies follow."""
        self.target = {k: (1 - tau) * slow + tau * self.params[k].detach() for k, slow in self.target.items()}

    def end(self):
        """Everything, by the names that it came with."""
        trees = {"params": self.params, "target": self.target}
        for part, key in (("mu", "exp_avg"), ("nu", "exp_avg_sq")):
            trees[part] = {path: self.adam.state[param][key] for path, param in self.params.items()}
        return {
            f"{self.name}.{part}/{path}": x.detach().numpy() for part, tree in trees.items() for path, x in tree.items()
        }


def tensors(arrays, prefix):
    """The arrays whose names begin so, by the rest of their names, in torch's default precision."""
    dtype = torch.get_default_dtype()
    return {k.removeprefix(prefix): torch.tensor(v).to(dtype) for k, v in arrays.items() if k.startswith(prefix)}


def dense(params, layer, x):
    """A linear layer."""
    return functional.linear(x, params[f"{layer}/kernel"].T, params[f"{layer}/bias"])


def torso(params, depth, x, activation):
    """The hidden layers."""
    for layer in range(depth):
        x = activation(dense(params, f"Dense_{layer}", x))
    return x


def q(params, depth, obs, action):
    """(critics, ...) values of stacked critics, one after the other: torch is slower with all in one product."""
    x, values = torch.cat([obs, action], -1), []
    for critic in range(len(params["Dense_0/bias"])):
        net = {path: stacked[critic] for path, stacked in params.items()}
        values.append(dense(net, f"Dense_{depth}", torso(net, depth, x, functional.relu))[..., 0])
    return torch.stack(values)
