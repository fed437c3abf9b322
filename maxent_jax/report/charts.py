"""Charts as inline SVG: every point is in the page, whether JavaScript runs or not."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 92, 10, 12, 54
ORDERS = 30.0
"""Losses that differ by more than this factor are drawn on a logarithmic axis."""
COLOURS = 8
DASHES = ("", "7 3", "2 3", "9 3 2 3")
MOST_DOTS = 40
"""Points of a curve that tell their numbers; the curve itself has all of them."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """One configuration in a chart.

    Attributes:
      name: whose.
      number: which colour and dash it has, the same in all charts.
      x: (n,) where.
      y: (n,) the bold line.
      low: (n,) lower end of its band; None: no band.
      high: (n,) upper end.
      seeds: thin lines, (seeds, n).
      told: (n,) what each point says.
    """

    name: str
    number: int
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    seeds: np.ndarray | None = None
    told: Sequence[str] = ()


class Axis:
    """Numbers to pixels, straight or, for losses of different orders, logarithmic."""

    def __init__(self, values: np.ndarray, begin: float, end: float) -> None:
        """An axis for values from pixel `begin` to `end`."""
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if high - low <= 1e-6 * max(abs(low), abs(high)):
            low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
        self.logarithmic = high < 0 and low < ORDERS * high
        self._unit = -high
        self._begin, self._end = begin, end
        margin = 0.04 * (self._straight(high) - self._straight(low))
        self._low, self._high = self._straight(low) - margin, self._straight(high) + margin
        self._values = (low, high)

    def _straight(self, value: float) -> float:
        return -math.log10(max(-value, 0.1 * self._unit)) if self.logarithmic else value

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        part = (self._straight(float(value)) - self._low) / (self._high - self._low)
        return self._begin + part * (self._end - self._begin)

    def ticks(self) -> list[float]:
        """Round values inside."""
        if not self.logarithmic:
            inside = MaxNLocator(6).tick_values(*self._values)
            return [float(tick) for tick in inside if self._low <= tick <= self._high]
        orders = range(math.floor(-self._high), math.ceil(-self._low) + 1)
        found = [-digit * 10.0**order for order in orders for digit in (1, 2, 5)]
        return [tick for tick in found if self._low <= self._straight(tick) <= self._high]


def short(value: float) -> str:
    """A number at a tick: 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and not (letter == "k" and abs(value) < 1e4):
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def chart(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    lines: Mapping[str, float] | None = None,
    stairs: bool = False,
) -> str:
    """A chart of curves.

    Args:
      curves: what is drawn.
      x_label: what is along the axis, with its unit.
      y_label: likewise upwards.
      lines: horizontal lines by name.
      stairs: a value holds until the next one.

    Returns:
      An `svg` element.
    """
    lines = lines or {}
    across = Axis(np.concatenate([curve.x for curve in curves] or [np.zeros(0)]), LEFT, WIDTH - RIGHT)
    heights = [curve.y for curve in curves] + [curve.seeds.ravel() for curve in curves if curve.seeds is not None]
    upwards = Axis(np.concatenate([*heights, np.array(list(lines.values()), float)]), HEIGHT - BOTTOM, TOP)
    if upwards.logarithmic:
        y_label += " (logarithmic)"
    if across.logarithmic:
        x_label += " (logarithmic)"
    parts = [_frame(across, upwards, x_label, y_label)]
    parts += [_line(name, value, upwards) for name, value in lines.items()]
    parts += [_curve(curve, across, upwards, stairs) for curve in curves]
    about = escape(f"{y_label} by {x_label}: {', '.join(curve.name for curve in curves)}")
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{about}">{"".join(parts)}</svg>'


def swatch(number: int) -> str:
    """The line of a legend."""
    return (
        f'<svg class="swatch" viewBox="0 0 28 10" aria-hidden="true"><g {_look(number)}>'
        '<path class="middle" d="M1 5H27"/></g></svg>'
    )


def _look(number: int) -> str:
    dash = DASHES[number // COLOURS % len(DASHES)]
    return f'class="c{number % COLOURS}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _frame(across: Axis, upwards: Axis, x_label: str, y_label: str) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in across.ticks():
        parts.append(f'<path class="tick" d="M{across(tick):.1f} {bottom}v5"/>')
        parts.append(f'<text x="{across(tick):.1f}" y="{bottom + 21}" text-anchor="middle">{short(tick)}</text>')
    for tick in upwards.ticks():
        parts.append(f'<path class="grid" d="M{LEFT} {upwards(tick):.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{upwards(tick) + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(f'<path class="tick" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 7}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text x="17" y="{middle}" text-anchor="middle" transform="rotate(-90 17 {middle})">{escape(y_label)}</text>'
    )
    return "".join(parts)


def _line(name: str, value: float, upwards: Axis) -> str:
    y = upwards(value)
    text = escape(f"{name} {value:,.5g}")
    return (
        f'<g class="yardstick"><path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        f'<text x="{WIDTH - RIGHT - 4}" y="{y - 4:.1f}" text-anchor="end">{text}</text></g>'
    )


def _curve(curve: Curve, across: Axis, upwards: Axis, stairs: bool) -> str:
    x = np.array([across(value) for value in curve.x])
    parts = []
    if curve.low is not None and curve.high is not None:
        known = np.isfinite(curve.low) & np.isfinite(curve.high)
        ends = [[_within(upwards(value)) for value in side[known]] for side in (curve.low, curve.high)]
        around = [*zip(x[known], ends[0], strict=True), *reversed(list(zip(x[known], ends[1], strict=True)))]
        if around:
            parts.append(f'<path class="band" d="M{" ".join(f"{a:.1f} {b:.1f}" for a, b in around)}Z"/>')
    parts += [
        f'<path class="seed" d="{_path(x, seed, upwards)}"/>' for seed in ([] if curve.seeds is None else curve.seeds)
    ]
    parts.append(f'<path class="middle" d="{_path(x, curve.y, upwards, stairs)}"/>')
    known = np.flatnonzero(np.isfinite(curve.y))
    for point in (
        known[np.unique(np.linspace(0, len(known) - 1, min(MOST_DOTS, len(known))).astype(int))] if len(known) else ()
    ):
        title = escape(str(curve.told[point])) if len(curve.told) else ""
        place = f'cx="{x[point]:.1f}" cy="{upwards(float(curve.y[point])):.1f}"'
        parts.append(f'<circle {place} r="2.5"><title>{title}</title></circle>')
    return f"<g {_look(curve.number)}>{''.join(parts)}</g>"


def _within(pixel: float) -> float:
    return min(max(pixel, TOP), HEIGHT - BOTTOM)


def _path(x: np.ndarray, y: np.ndarray, upwards: Axis, stairs: bool = False) -> str:
    """A line through what is finite; a gap where something is not."""
    text, pen, before = [], "M", 0.0
    for across, value in zip(x, y, strict=True):
        if not np.isfinite(value):
            pen = "M"
            continue
        if stairs and pen == "L":
            text.append(f"L{across:.1f} {before:.1f}")
        before = upwards(value)
        text.append(f"{pen}{across:.1f} {before:.1f}")
        pen = "L"
    return "".join(text)
