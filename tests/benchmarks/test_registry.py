import inspect
import json
import types
from importlib import import_module

import pytest

from benchmarks import registry, timing
from maxent_jax import cli


@pytest.mark.parametrize("name", registry.BENCHMARKS)
def test_every_benchmark_takes_what_its_presets_give_it(name):
    """A name that `main` does not know would be found out only after the benchmarks before it."""
    main = import_module(f"benchmarks.{name}").main
    for preset in registry.PRESETS:
        arguments = registry.BENCHMARKS[name].arguments(preset)
        if arguments is not None:
            inspect.signature(main).bind(out=None, **arguments)


@pytest.fixture
def benches(monkeypatch, tmp_path):
    """Two quick benchmarks that take no time: a quiet one and a noisy one, which may be interrupted."""
    calls = []

    def make(name, spread, error=None):
        def main(out, size=1):
            calls.append((name, size))
            timing.save(out, name, rows={"a": {"median": 1.0, "min": 1.0, "max": 1.0 + spread}})
            if error:
                raise error

        return types.SimpleNamespace(main=main)

    def set_up(error=None):
        modules = {"benchmarks.quiet": make("quiet", 0.1), "benchmarks.noisy": make("noisy", 0.5, error)}
        others = registry.importlib.import_module
        monkeypatch.setattr(registry.importlib, "import_module", lambda name: modules.get(name) or others(name))
        known = {name: registry.Benchmark("why", quick={"size": 7}) for name in ("quiet", "noisy")}
        monkeypatch.setattr(registry, "BENCHMARKS", known)
        monkeypatch.chdir(tmp_path)
        return calls, tmp_path

    return set_up


def test_bench_alone_makes_the_quick_ones_and_says_which_to_trust(benches, capsys):
    calls, folder = benches()
    assert cli.main(["bench"]) == 0
    assert calls == [("quiet", 7), ("noisy", 7)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 of 2: quiet: why"
    assert "noisy to trust" not in lines[1]
    assert "too noisy to trust: a spread of 50%" in lines[3]
    assert json.loads((folder / "bench" / "quiet.json").read_text())["about"] == "quiet"


def test_bench_with_a_name_makes_all_of_it(benches):
    calls, folder = benches()
    assert cli.main(["bench", "quiet", "--out", str(folder / "elsewhere")]) == 0
    assert calls == [("quiet", 1)]
    assert (folder / "elsewhere" / "quiet.json").exists()


def test_interrupted_bench_keeps_what_is_finished(benches, capsys):
    calls, folder = benches(KeyboardInterrupt())
    assert cli.main(["bench"]) == 130
    assert len(calls) == 2
    assert "interrupted" in capsys.readouterr().err
    for name in ("quiet", "noisy"):
        assert json.loads((folder / "bench" / f"{name}.json").read_text())["rows"]


def test_spread_is_the_largest_of_all():
    row = {"median": 2.0, "min": 1.9, "max": 2.1}
    assert timing.spread({"a": [row, {"b": row | {"max": 2.5}}], "text": "x", "number": 3}) == pytest.approx(0.3)
    assert timing.spread({"nothing": "measured"}) == 0
