"""The quadrotor's equations of motion in numpy and scipy, written apart from `envs.quadrotor`."""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

MASS, INERTIA, GRAVITY = 0.65, np.diag([0.75, 0.75, 1.3]), np.array([0.0, 0.0, -9.81])
ARM, THRUST, DRAG = 0.23, 0.313, 7.5e-4
HOVER = np.sqrt(MASS * 9.81 / (4 * THRUST))
ROTORS = ARM * np.array([[0, 1, 0], [-1, 0, 0], [0, -1, 0], [1, 0, 0]])
SPIN = np.array([1, -1, 1, -1])


def wrench(speeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Force and torque (3,), (3,) in body axes of rotor speeds (4,): each rotor's thrust acts where the rotor is."""
    thrusts = np.outer(THRUST * speeds**2, [0, 0, 1])
    turning = np.array([0, 0, ARM * DRAG * np.sum(SPIN * speeds**2)])
    return thrusts.sum(axis=0), np.cross(ROTORS, thrusts).sum(axis=0) + turning


def slope(time: float, motion: np.ndarray, force: np.ndarray, torque: np.ndarray) -> np.ndarray:
    """The time derivative of position, rotation matrix (row by row), velocity and body rates, (18,)."""
    del time
    turn, rates = motion[3:12].reshape(3, 3), motion[15:]
    rates_across = np.cross(np.eye(3), rates)  # times a vector: rates x vector
    rates_slope = np.linalg.solve(INERTIA, torque - np.cross(rates, INERTIA @ rates))
    return np.concatenate([motion[12:15], (turn @ rates_across).ravel(), GRAVITY + turn @ force / MASS, rates_slope])


def solve(position: np.ndarray, velocity: np.ndarray, actions: np.ndarray) -> dict[str, np.ndarray]:
    """Where rotor speeds lead from a level start at rest, to ten digits.

    Args:
      position: (3,) m.
      velocity: (3,) m/s.
      actions: (steps, 4) in [-1, 1], each held for 0.1 s.

    Returns:
      After each step: position, angles (roll, pitch, yaw), velocity, rates, each (steps, 3).
    """
    motion = np.concatenate([position, np.eye(3).ravel(), velocity, np.zeros(3)])
    motions = []
    for action in actions:
        arguments = wrench(5 * (np.asarray(action, np.float64) + 1))
        motion = solve_ivp(slope, (0, 0.1), motion, args=arguments, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
        motions.append(motion)
    path = np.stack(motions)
    yaw, pitch, roll = Rotation.from_matrix(path[:, 3:12].reshape(-1, 3, 3)).as_euler("ZYX").T
    angles = np.stack([roll, pitch, yaw], axis=1)
    return {"position": path[:, :3], "angles": angles, "velocity": path[:, 12:15], "rates": path[:, 15:]}


def random_actions(rng: np.random.Generator, sequences: int, spread: float, hold: int = 1) -> np.ndarray:
    """(sequences, 40, 4) actions, `hold` equal ones in a row, within `spread` (in units of [-1, 1]) of hover."""
    offsets = np.repeat(rng.uniform(-spread, spread, (sequences, 40 // hold, 4)), hold, axis=1)
    return np.clip(HOVER / 5 - 1 + offsets, -1, 1).astype(np.float32)
