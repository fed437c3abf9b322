"""What XLA compiles, heard from JAX itself."""

from contextlib import contextmanager

import jax.monitoring


@contextmanager
def heard():
    """A list that fills with the names of the programs that are compiled meanwhile, cached ones included."""
    names = []

    def hear(event: str, duration_secs: float, **about: str | int):
        del duration_secs
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(str(about["fun_name"]).removeprefix("jit(").removesuffix(")"))

    jax.monitoring.register_event_duration_secs_listener(hear)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)
