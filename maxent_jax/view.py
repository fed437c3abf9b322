"""Pictures of a task: its MuJoCo scene at given joint positions, by OpenGL or, where there is none, drawn flat."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import mujoco as bindings
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from scipy.spatial import ConvexHull

mujoco: Any = bindings  # type checkers cannot see into C
CAMERA = "film"
SIZE = (360, 480)
"""Height and width of a picture, in pixels."""


class NoOpenGL(RuntimeError):
    """There is nothing to render with."""


def pictures(mjcf: str, qpos: np.ndarray, flat: bool = False) -> Iterator[np.ndarray]:
    """Look at a scene through its camera `film`.

    Args:
      mjcf: the scene.
      qpos: (T, nq) joint positions.
      flat: draw it even where OpenGL is to be had.

    Yields:
      (height, width, 3) uint8, one per row of `qpos`.
    """
    model = load(mjcf)
    if flat:
        view = drawn_flat(model)
    else:
        try:
            view = rendered(model)
        except NoOpenGL:
            view = drawn_flat(model)
    data = mujoco.MjData(model)
    for positions in np.asarray(qpos, float):
        data.qpos[:] = positions
        mujoco.mj_forward(model, data)
        yield view(data)


def load(mjcf: str) -> Any:
    """The compiled scene, with soft light from the camera and a pale sky."""
    spec = mujoco.MjSpec.from_string(mjcf)
    spec.visual.headlight.ambient = [0.45, 0.45, 0.45]
    spec.visual.headlight.diffuse = [0.6, 0.6, 0.6]
    spec.visual.headlight.specular = [0, 0, 0]
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[1, 1, 1],
        rgb2=[0.85, 0.9, 0.95],
        width=64,
        height=384,
    )
    return spec.compile()


def rendered(model: Any) -> Callable[[Any], np.ndarray]:
    """A function from MuJoCo data to a picture.

    Raises:
      NoOpenGL: no context could be made.
    """
    try:
        if sys.platform == "linux" and not os.environ.get("DISPLAY") and "MUJOCO_GL" not in os.environ:
            # MuJoCo asks for a window by default; the choice is read when the module is loaded
            os.environ["MUJOCO_GL"] = "egl"
            importlib.reload(importlib.import_module("mujoco.rendering.classic.gl_context"))
        renderer = mujoco.Renderer(model, *SIZE)
    except Exception as error:
        raise NoOpenGL(str(error)) from error

    def picture(data: Any) -> np.ndarray:
        renderer.update_scene(data, camera=CAMERA)
        return renderer.render()

    return picture


def drawn_flat(model: Any) -> Callable[[Any], np.ndarray]:
    """The same as outlines, far ones first, through the same camera."""
    height, width = SIZE
    camera = model.camera(CAMERA)
    focal = 0.5 * height / np.tan(0.5 * np.radians(camera.fovy[0]))
    geoms = [index for index in range(model.ngeom) if model.geom_type[index] != mujoco.mjtGeom.mjGEOM_PLANE]

    def picture(data: Any) -> np.ndarray:
        eye, axes = data.cam_xpos[camera.id], data.cam_xmat[camera.id].reshape(3, 3)

        def project(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen = (points - eye) @ axes  # the camera looks along its -z
            depth = np.maximum(-seen[..., 2], 1e-3)
            return focal * seen[..., :2] / depth[..., None] + [width / 2, height / 2], depth

        drawn = Figure(figsize=(width / 100, height / 100), dpi=100)
        canvas = FigureCanvasAgg(drawn)
        ax = drawn.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, width), ylim=(0, height))
        ax.axis("off")
        far_first = sorted(geoms, key=lambda index: -project(data.geom_xpos[index])[1])
        for order, index in enumerate(far_first):
            kind = mujoco.mjtGeom(int(model.geom_type[index]))
            corners = outline(kind, model.geom_size[index])
            points, depth = project(data.geom_xpos[index] + corners @ data.geom_xmat[index].reshape(3, 3).T)
            look = {"facecolor": model.geom_rgba[index], "edgecolor": "#333333", "linewidth": 0.7, "zorder": order}
            if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
                ax.add_patch(Circle(tuple(points[0]), focal * model.geom_size[index][0] / depth[0], **look))
            else:
                ax.add_patch(Polygon(points[ConvexHull(points, qhull_options="QJ").vertices], **look))
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    return picture


def outline(kind: Any, size: np.ndarray) -> np.ndarray:
    """Points (n, 3) whose hull is a geom of a kind (`mjtGeom`), in its own axes; the centre for a sphere."""
    kinds = mujoco.mjtGeom
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(around), np.sin(around), 0 * around], axis=1)
    if kind == kinds.mjGEOM_SPHERE:
        return np.zeros((1, 3))
    if kind == kinds.mjGEOM_BOX:
        signs = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(-1, 3)
        return signs * size
    if kind in (kinds.mjGEOM_CYLINDER, kinds.mjGEOM_CAPSULE):
        ends = [size[0] * circle + [0, 0, side * size[1]] for side in (-1, 1)]
        if kind == kinds.mjGEOM_CAPSULE:
            rings = np.concatenate([size[0] * circle[:, order] for order in ([0, 2, 1], [2, 0, 1])])
            ends += [np.add(rings, [0, 0, side * size[1]]) for side in (-1, 1)]
        return np.concatenate(ends)
    return np.concatenate([circle[:, order] * size for order in ([0, 1, 2], [0, 2, 1], [2, 0, 1])])
