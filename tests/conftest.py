"""What all tests share."""

import os

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from maxent_jax import plots

jax.config.update("jax_num_cpu_devices", 1)  # whatever test begins jax, and whatever it imports before


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Programs that are equal are compiled once a session, those of subprocesses included."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    compilation_cache.reset_cache()  # it may have been looked for while the tests were collected


@pytest.fixture(scope="module")
def quick_compile():
    """Half the compile time, for tests whose programs run for a moment only."""
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    del os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"]


@pytest.fixture(scope="module")
def no_figures():
    """Empty files in place of a run's figures: half of what a brief training costs, for tests that look at none."""
    with pytest.MonkeyPatch.context() as patch:
        for figure in ("curves", "landscape"):
            patch.setattr(plots, figure, lambda shown, path, *rest: path.touch())
        yield


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An almost empty working directory."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path
