"""Our trainer, as the peers are run: the compiled chunk of a sweep, and the updates of SAC-AdaEnt by themselves."""
# pyright: basic, reportMissingImports=false

import functools
import json

import jax
import numpy as np
import serve

import envs
from benchmarks import fast
from maxent_jax import trainer
from maxent_jax.agents import PPO, SAC, SACAdaEnt
from maxent_jax.compiled import Compiled
from maxent_jax.programs import expand

CHUNKS = 100_000
"""More than are ever trained: only the length of one matters."""


def agent_of(settings):
    """The agent, and environments in parallel."""
    hidden, lr = tuple(settings["hidden"]), settings["lr"]
    if settings["algorithm"] == "ppo":
        agent = PPO(
            hidden=hidden,
            lr=lr,
            gamma=settings["gamma"],
            rollout_steps=settings["rollout"],
            passes=settings["passes"],
            batch_size=settings["batch"],
            recompute_advantages=False,
            normalise_advantages=True,
        )
        return agent, settings["envs"]
    agent = SAC(
        hidden=hidden,
        lr=lr,
        alpha_lr=lr,
        auto_alpha=True,
        gamma=settings["gamma"],
        tau=settings["tau"],
        batch_size=settings["batch"],
        buffer_size=settings["capacity"],
        prefill_steps=settings["prefill"],
    )
    return agent, 1


@functools.cache
def compiled_for(text):
    """The compiled program of some settings, as JSON."""
    settings = json.loads(text)
    agent, parallel = agent_of(settings)
    steps = settings["chunk"] * CHUNKS
    expanded = expand(agent, envs.make("pendulum"), range(settings["runs"]), {}, steps, parallel, CHUNKS)
    return Compiled(expanded.programs[0])


class Ours(serve.Training):
    """The compiled chunk, again and again."""

    def __init__(self, settings, seed):
        """Fill replay; it is counted with the first chunk, as the others do."""
        self.compiled = compiled_for(json.dumps(settings))
        program = self.compiled.program
        self.runs, self.fields = len(program.runs), (program.agent, program.env)
        begun = self.compiled.begin(*self.fields, program.seeds + np.uint32(1000 * seed))
        self.state = self.compiled.prefill(*self.fields, begun, trainer.no_steps())[:2]
        self.counts = np.zeros(2, int)

    def advance(self):
        """A chunk of all runs."""

        def train():
            self.state = jax.block_until_ready(self.compiled.train(*self.fields, *self.state)[:2])

        seconds = serve.timed(train)
        before = self.counts
        self.counts = self.runs * np.array([self.state[1].env_steps, self.state[1].updates], int)
        return (*(self.counts - before).tolist(), seconds)

    def evaluate(self):
        """By the first run's mean action."""
        state = jax.tree.map(lambda x: x[0], self.state[0].agent)
        return serve.mean_return(lambda obs: mean_action(self.fields[0], state, obs))


@jax.jit
def mean_action(agent, state, obs):
    """In [-1, 1]."""
    return agent.act(state, obs, jax.random.key(0), deterministic=True)


class AdaEnt(serve.Training):
    """Nothing but updates of SAC-AdaEnt."""

    def __init__(self, settings):
        """Compile."""
        agent = SACAdaEnt(hidden=tuple(settings["hidden"]), comparison=settings["comparison"])
        self.runs, self.updates = settings["runs"], fast.updates(agent, settings["runs"])

    def advance(self):
        """A few updates of all runs."""
        seconds = serve.timed(lambda: jax.block_until_ready(self.updates()))
        return 0, self.runs * fast.UPDATES, seconds


def make(settings, seed):
    """By the algorithm's name."""
    return AdaEnt(settings) if settings["algorithm"] == "sac_adaent" else Ours(settings, seed)


if __name__ == "__main__":
    serve.serve(serve.Trainings(make, ("jax", "flax", "optax", "numpy")))
