"""Films of trained policies: the scene, and under it reward, entropy and similarity as they go."""

import contextlib
import importlib
import io
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from envs.fields import InvalidSetting
from maxent_jax import plots, rollout, view
from maxent_jax.faults import Fault
from maxent_jax.result import Result
from maxent_jax.runs import write_whole

TRACES_HEIGHT = 240
MOST_FRAMES_PER_SECOND = 30
FEWEST_FRAMES_PER_SECOND = 4
"""Films run as fast as the task does, but those of long steps faster."""


def kind() -> str:
    """The kind of film that can be made here: `.mp4`, or `.gif` where no encoder is installed."""
    return ".mp4" if _encoder() else ".gif"


def film(results: Sequence[Result], path: Path, run: int | None = None, flat: bool = False) -> Path:
    """Film one episode by the mean action of each run directory, side by side.

    Args:
      results: run directories, one beside the other.
      path: the file to write, `.mp4` or `.gif`.
      run: which run of each; None: its first.
      flat: draw the scene even where OpenGL is to be had.

    Returns:
      The file that was written.

    Raises:
      InvalidSetting: a task that has no scene, no such run, or an `.mp4` where no encoder is installed.
      Fault: the encoder stopped; what was at the path stays.
    """
    encoder = _encoder() if path.suffix == ".mp4" else None
    if path.suffix == ".mp4" and encoder is None:
        raise InvalidSetting(f'out = {str(path)!r}: no encoder is installed (pip install -e ".[film]"); must be a .gif')
    strips = [_strip(result, result.runs[0].run if run is None else run, flat) for result in results]
    seconds = max(seconds for seconds, _ in strips)
    every = max(1, round(1 / (seconds * MOST_FRAMES_PER_SECOND)))
    frames = _beside([list(frames) for _, frames in strips])[::every]
    rate = 1 / (seconds * every)
    if encoder is None:
        _write_gif(frames, path, rate)
    else:
        _write_mp4(frames, path, rate, encoder)
    return path


def still(env: Any, path: Path, flat: bool = False) -> None:
    """A picture of a task where an episode begins.

    Raises:
      InvalidSetting: the task has no scene.
    """
    state = env.reset(jax.random.key(0))
    (picture,) = view.pictures(_scene(env), np.asarray(env.qpos(state.pipeline_state.physics))[None], flat)
    _few_colours(picture).save(path, optimize=True)


def _scene(env: Any) -> str:
    mjcf = getattr(env, "mjcf", None)
    if mjcf is None:
        raise InvalidSetting(f"env = {type(env).__name__}: has no scene to film; must define mjcf and qpos")
    return mjcf


def _strip(result: Result, run: int, flat: bool) -> tuple[float, Iterator[np.ndarray]]:
    """Seconds per frame, and one picture a step of one episode."""
    info = result.check_run(run)
    agent, env = result.agents[info.configuration], result.envs[info.configuration]
    mjcf = _scene(env)
    seen = rollout.episode(agent, env, result.agent_state(run), jax.random.key(info.seed))
    qpos = np.asarray(jax.vmap(env.qpos)(seen.world.physics))
    title = f"{plots.label(result, info.configuration)} on {result.config['env']}, seed {info.seed}"
    traces = Traces(seen, title, getattr(agent, "threshold", None))
    pictures = view.pictures(mjcf, qpos, flat)
    frames = (np.concatenate([picture, traces.at(step)]) for step, picture in enumerate(pictures))
    return min(float(env.dt), 1 / FEWEST_FRAMES_PER_SECOND), frames


class Traces:
    """Reward, entropy and similarity over an episode, drawn once; `at(step)` marks a step."""

    def __init__(self, seen: rollout.Episode, title: str, threshold: Any):
        """Draw the curves; `threshold` is where SAC-AdaEnt switches, None for other agents."""
        rows = {"reward": seen.reward, "entropy": seen.entropy}
        if seen.similarity is not None:
            rows["similarity"] = seen.similarity
        width = view.SIZE[1]
        drawn = Figure(figsize=(width / 100, TRACES_HEIGHT / 100), dpi=100, layout="constrained")
        axes = drawn.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (name, values), colour in zip(axes, rows.items(), plots.COLOURS, strict=False):
            ax.plot(values, color=colour, linewidth=1.2, marker="." if len(values) < 5 else None)
            ax.set_ylabel(name, fontsize=7)
            ax.tick_params(labelsize=6)
            ax.spines[["top", "right"]].set_visible(False)
            if name == "similarity" and threshold is not None:
                ax.axhline(float(threshold), color="#555555", linestyle="--", linewidth=0.8)
        axes[0].set_title(f"{title}: return {seen.reward.sum():,.4g}", fontsize=8)
        axes[-1].set_xlabel("step", fontsize=7)
        canvas = FigureCanvasAgg(drawn)
        canvas.draw()
        self._picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        corner = lambda step: axes[0].transData.transform((step, 0))[0]  # noqa: E731
        self._columns = [int(np.clip(corner(step), 0, width - 2)) for step in range(len(seen.reward))]

    def at(self, step: int) -> np.ndarray:
        """(height, width, 3) uint8 with a vertical line at a step."""
        picture = self._picture.copy()
        column = self._columns[step]
        picture[20:-30, column : column + 2] = (220, 40, 40)
        return picture


def _beside(films: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    """Films in one picture; those that end earlier stand still."""
    length = max(map(len, films))
    return [np.concatenate([frames[min(i, len(frames) - 1)] for frames in films], axis=1) for i in range(length)]


def _few_colours(picture: np.ndarray) -> Image.Image:
    """A palette picture, several times smaller; no dithering, which flickers from frame to frame."""
    return Image.fromarray(picture).quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def _encoder() -> str | None:
    """The program that makes an .mp4; None where there is none."""
    try:
        return importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # the latter is its own, where the program is missing
        return None


def _write_gif(frames: Sequence[np.ndarray], path: Path, rate: float) -> None:
    images, film = [_few_colours(frame) for frame in frames], io.BytesIO()
    rest = {"save_all": True, "append_images": images[1:], "duration": round(1000 / rate), "loop": 0}
    images[0].save(film, "gif", optimize=True, **rest)
    write_whole(path, film.getvalue())


def _write_mp4(frames: Sequence[np.ndarray], path: Path, rate: float, encoder: str) -> None:
    height, width = (size // 2 * 2 for size in frames[0].shape[:2])  # the encoder wants even sizes
    draft = path.with_suffix(".part")
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
    wanted = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "25", "-f", "mp4", str(draft)]
    # not by imageio's own writer: it forks in a way that may lock up a process in which JAX runs
    process = subprocess.Popen([encoder, "-y", "-loglevel", "error", *given, *wanted], stdin=subprocess.PIPE)
    with contextlib.suppress(BrokenPipeError), process:  # an encoder that stops says so by its exit code
        assert process.stdin is not None
        for frame in frames:
            process.stdin.write(np.ascontiguousarray(frame[:height, :width]).tobytes())
    if process.returncode:
        draft.unlink(missing_ok=True)
        raise Fault(f"film {str(path)!r}: the encoder stopped with exit code {process.returncode}; is the disk full?")
    draft.replace(path)
