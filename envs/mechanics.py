"""Tasks from a MuJoCo scene: load an MJCF once, keep a small state, step it with MJX.

A task of one's own makes a state in its `start` with `at`, and in its `advance` takes the model from `load`, puts its
fields into it with `put`, and calls `advance`. `envs/hopper.py` is such a task.

`put` changes what MuJoCo reads at every step (masses, friction, damping, gains). What its compiler derives from
them once (`body_invweight0`, which scales how soft contacts and limits are) stays that of the MJCF.
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
from mujoco import mjx

from envs.integrators import runge_kutta

Model = mjx.Model


class Motion(flax.struct.PyTreeNode):
    """The state of a mechanism: what the next step needs of `mjx.Data`, and nothing that can be computed from it.

    Attributes:
      qpos: (nq,) positions, as MuJoCo orders them.
      qvel: (nv,) velocities.
      warm: (nv,) the last acceleration, where the next search for the constraint forces begins.
    """

    qpos: jax.Array
    qvel: jax.Array
    warm: jax.Array


@functools.cache
def load(mjcf: str) -> mjx.Model:
    """The MJX model of an MJCF; the same text is compiled once. Its Jacobian is sparse, whatever the text says.

    Raises:
      ValueError: MuJoCo cannot read the text; the message is its own.
    """
    with jax.ensure_compile_time_eval():  # the first caller may be inside a trace, the cache outlives it
        model = mujoco.MjModel.from_xml_string(mjcf)  # pyright: ignore[reportAttributeAccessIssue] - a C type
        # Factors the mass matrix by plain arithmetic. Else two batched calls of LAPACK may run at once, and on two
        # cores jaxlib 0.10.2 may wait for ever.
        model.opt.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE  # pyright: ignore[reportAttributeAccessIssue]
        return mjx.put_model(model, impl="jax")


def put(model: mjx.Model, values: dict[str, Any]) -> mjx.Model:
    """The model with other values in some of its fields, by their names in MuJoCo, nested ones with a dot."""
    return model.tree_replace(values)  # pyright: ignore[reportReturnType] - MJX names the base class


def weights(model: mjx.Model, gravity: Any, mass_scale: Any) -> dict[str, Any]:
    """What `put` needs for another gravity (m/s^2, downwards) and for all masses and inertias times a number."""
    return {
        "opt.gravity": jnp.stack([jnp.zeros(()), jnp.zeros(()), -jnp.asarray(gravity, jnp.float32)]),
        "body_mass": mass_scale * model.body_mass,
        "body_inertia": mass_scale * model.body_inertia,
    }


def at(qpos: jax.Array, qvel: jax.Array) -> Motion:
    """The state with these positions (nq,) and velocities (nv,)."""
    qpos, qvel = jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32)
    return Motion(qpos, qvel, jnp.zeros_like(qvel))


def advance(model: mjx.Model, motion: Motion, control: jax.Array, substeps: int) -> Motion:
    """Step the model with a held control.

    The integrator is the model's. Only positions, velocities and warm start go from one substep to the next, so that
    XLA drops all of `mjx.Data` that nobody reads.

    Args:
      model: from `load`, with whatever was put into it.
      motion: the state before.
      control: (nu,) what MuJoCo calls `ctrl`, in the units of the actuators; or (substeps, nu), one for each substep.
      substeps: how many steps of `model.opt.timestep`.

    Returns:
      The state after.
    """
    blank = mjx.make_data(model)
    one = _runge_kutta if _plain_runge_kutta(model) else _step

    def substep(motion: Motion, control: jax.Array) -> tuple[Motion, None]:
        return one(model, blank.replace(ctrl=control), motion), None

    return jax.lax.scan(substep, motion, jnp.broadcast_to(control, (substeps, model.nu)))[0]


def touching(model: mjx.Model, motion: Motion) -> tuple[jax.Array, jax.Array]:
    """Which geoms touch in a state: (contacts, 2) their indices, and (contacts,) whether they do."""
    data = mjx.kinematics(model, _data(mjx.make_data(model), motion))
    contact = mjx.collision(model, data)._impl.contact  # pyright: ignore[reportAttributeAccessIssue] - JAX's has it
    return contact.geom, contact.dist < 0


def _step(model: mjx.Model, blank: mjx.Data, motion: Motion) -> Motion:
    data = mjx.step(model, _data(blank, motion))
    return Motion(data.qpos, data.qvel, data.qacc_warmstart)


def _data(blank: mjx.Data, motion: Motion) -> mjx.Data:
    return blank.replace(qpos=motion.qpos, qvel=motion.qvel, qacc_warmstart=motion.warm)


def _plain_runge_kutta(model: mjx.Model) -> bool:
    """Whether the integrator is the fourth-order one and positions are integrals of velocities (no quaternions)."""
    return model.opt.integrator == mjx.IntegratorType.RK4 and model.nq == model.nv and model.na == 0


def _runge_kutta(model: mjx.Model, blank: mjx.Data, motion: Motion) -> Motion:
    """What `mjx.step` does where it writes the four stages out, which takes four times as long to compile."""

    def slope(state: jax.Array) -> jax.Array:
        qpos, qvel = jnp.split(state, 2)
        data = mjx.forward(model, _data(blank, motion.replace(qpos=qpos, qvel=qvel)))
        return jnp.concatenate([qvel, data.qacc])

    state = jnp.concatenate([motion.qpos, motion.qvel])
    qpos, qvel = jnp.split(runge_kutta(slope, state, model.opt.timestep), 2)
    return Motion(qpos, qvel, (qvel - motion.qvel) / model.opt.timestep)
