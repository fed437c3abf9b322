"""What a measurement needs beside it: where it was made, and how far it scatters."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

NOISY = 0.2
"""A spread above this share of the median says that the machine was busy with something else."""
PACKAGES = ("jax", "jaxlib", "flax", "optax", "brax", "mujoco", "mujoco-mjx", "numpy", "scipy")


def describe() -> dict[str, Any]:
    """Where a measurement is made: device, processor, what else it does (load), and versions, ready for JSON."""
    device = jax.devices()[0]
    return {
        "device": f"{jax.device_count()} x {device.platform}:{device.device_kind}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def interleaved(functions: Mapping[str, Callable[[], Any]], repetitions: int = 5) -> dict[str, dict[str, float]]:
    """Time functions in turn, so that a busy spell of the machine hits all of them alike.

    Args:
      functions: by name; each is called once before, to warm up, and its result is waited for.
      repetitions: how many rounds.

    Returns:
      By name: median, min and max of the seconds per call.
    """
    for function in functions.values():
        jax.block_until_ready(function())
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            seconds[name].append(time.perf_counter() - start)
    return {name: summary(times) for name, times in seconds.items()}


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, min and max of repetitions."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rate(count: float, seconds: Mapping[str, float]) -> dict[str, float]:
    """Things done per second, median, min and max, from the seconds that `count` of them took."""
    return {"median": count / seconds["median"], "min": count / seconds["max"], "max": count / seconds["min"]}


def spread(result: Any) -> float:
    """The largest (max - min) / median of all measurements in a result, however deep they lie in it."""
    if isinstance(result, Mapping):
        own = (result["max"] - result["min"]) / result["median"] if {"median", "min", "max"} <= result.keys() else 0.0
        return max([own, *map(spread, result.values())])
    return max(map(spread, result), default=0.0) if isinstance(result, list | tuple) else 0.0


def save(out: Path, about: str, **content: Any) -> None:
    """Write a result with where it was made; what was there stays whole until it is replaced.

    Args:
      out: the JSON to write; its folder is made.
      about: what the numbers are.
      content: the numbers, ready for JSON.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps({"about": about, "where": describe(), **content}, indent=1) + "\n")
    partial.replace(out)


def kept(out: Path) -> dict[str, Any]:
    """What a result holds from before: rows that are not measured now stay in it. Nothing where there is none."""
    return json.loads(out.read_text()) if out.exists() else {}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
