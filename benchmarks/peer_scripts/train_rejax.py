"""rejax on gymnax's pendulum: its compiled `train`, seeds mapped, without its evaluation."""
# pyright: basic, reportMissingImports=false

import functools
import json

import jax
import jax.numpy as jnp
import rejax
import serve


@functools.cache
def compiled_for(text):
    """(algorithm, compiled init, compiled training chunk) of some settings, as JSON."""
    settings = json.loads(text)
    shared = {
        "env": "Pendulum-v1",
        "learning_rate": settings["lr"],
        "gamma": settings["gamma"],
        "total_timesteps": settings["chunk"],
        "eval_freq": settings["chunk"],
        "skip_initial_evaluation": True,
    }
    if settings["algorithm"] == "sac":
        algorithm = rejax.SAC.create(
            **shared,
            hidden_layer_sizes=tuple(settings["hidden"]),
            agent_kwargs={"activation": "relu"},
            polyak=1.0 - settings["tau"],
            batch_size=settings["batch"],
            buffer_size=settings["capacity"],
            fill_buffer=settings["prefill"],
        )
    else:
        algorithm = rejax.PPO.create(
            **shared,
            agent_kwargs={"activation": "tanh", "hidden_layer_sizes": tuple(settings["hidden"])},
            num_envs=settings["envs"],
            num_steps=settings["rollout"] // settings["envs"],
            num_minibatches=settings["rollout"] // settings["batch"],
            num_epochs=settings["passes"],
            max_grad_norm=0.5,
            ent_coef=0.0,
        )
    algorithm = algorithm.replace(eval_callback=lambda *_: ())

    def init(key):
        # With the types that it is trained to: else its weak types compile the chunk anew, twice.
        state = algorithm.init_state(key)
        return jax.tree.map(lambda x, to: jnp.asarray(x, to.dtype), state, jax.eval_shape(train, state))

    def train(state):
        return algorithm.train(train_state=state)[0]

    keys = jax.random.split(jax.random.PRNGKey(0), settings["runs"])
    mapped = jax.jit(jax.vmap(init))
    chunk = jax.jit(jax.vmap(train), donate_argnums=0).lower(jax.eval_shape(mapped, keys)).compile()
    return algorithm, mapped, chunk


class Rejax(serve.Training):
    """The compiled chunk, again and again."""

    def __init__(self, settings, seed):
        """Begin."""
        self.settings = settings
        self.algorithm, init, self.chunk = compiled_for(json.dumps(settings))
        self.state = init(jax.random.split(jax.random.PRNGKey(seed), settings["runs"]))

    def advance(self):
        """A chunk of all runs; rejax updates once a step of its one environment from `fill_buffer` on."""

        def train():
            self.state = jax.block_until_ready(self.chunk(self.state))

        before = int(self.state.global_step[0])
        seconds = serve.timed(train)
        after, runs = int(self.state.global_step[0]), self.settings["runs"]
        filled = self.settings.get("prefill", 0)
        return runs * (after - before), runs * max(0, after - max(before, filled)), seconds

    def evaluate(self):
        """By the first run's mean action."""
        params = jax.tree.map(lambda x: x[0], self.state.actor_ts.params)
        return serve.mean_return(functools.partial(mean_action, self.algorithm.actor, params))


@functools.partial(jax.jit, static_argnums=0)
def mean_action(actor, params, obs):
    """The squashed mean, in [-1, 1]."""
    return jnp.tanh(actor.apply(params, obs, method="_action_dist").mean())


if __name__ == "__main__":
    serve.serve(serve.Trainings(Rejax, ("rejax", "gymnax", "jax", "flax", "optax", "numpy")))
