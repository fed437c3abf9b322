"""The scene of tasks whose states are a few places: a board with a field each, and a piece that stands on one."""

from collections.abc import Iterable


def scene(fields: Iterable[tuple[float, float, str]], depth: float = 0.0) -> str:
    """A MuJoCo scene with two joints, the piece's x and y, and a camera named `film`.

    Args:
      fields: x, y and colour (red, green, blue in [0, 1], separated by blanks) of each field.
      depth: how far the board reaches in y beyond 3; the camera steps back as far.
    """
    drawn = "".join(
        f'<geom type="cylinder" size="0.35 0.03" pos="{x} {y} 0" rgba="{colour} 1"/>' for x, y, colour in fields
    )
    return f"""
    <mujoco>
      <worldbody>
        <camera name="film" pos="0 {-3 - depth} {4 + depth}" xyaxes="1 0 0 0 0.8 0.6"/>
        <geom type="plane" size="3 {3 + depth} 0.1" pos="0 0 -0.05" rgba="0.95 0.95 0.95 1"/>
        {drawn}
        <body pos="0 0 0.2">
          <joint type="slide" axis="1 0 0"/>
          <joint type="slide" axis="0 1 0"/>
          <geom size="0.17" rgba="0.1 0.1 0.1 1"/>
        </body>
      </worldbody>
    </mujoco>
    """
