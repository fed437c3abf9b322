"""The vehicle's equations of motion in numpy, written apart from `envs/vehicle.py`, to check it and to time it against.

Here the velocities are in the car's rotating axes, so the centrifugal terms stand in the equations; there they do not.
"""

from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

MASS, INERTIA, AHEAD, BEHIND = 1500.0, 2250.0, 1.45, 1.45
STIFFNESS = {"published": (32.0, 34.0), "road": (32e3, 34e3)}
START = np.array([-1.32944751, -9.94610215, 3.01729539, 3.0, 0.0, -1.0])


def slope(state: np.ndarray, action: np.ndarray, tyres: str = "published", mass: float = MASS) -> np.ndarray:
    """The time derivative of the state.

    Args:
      state: (6, ...) x, y, yaw, forward and leftward speed, yaw rate.
      action: (2, ...) throttle (m/s^2), steering (rad).
      tyres: a key of `STIFFNESS`.
      mass: kg.

    Returns:
      (6, ...) as `state`, per second.
    """
    _, _, yaw, forward, leftward, rate = state
    throttle, steering = action
    stiffness_front, stiffness_rear = STIFFNESS[tyres]
    divisor = np.where(np.abs(forward) >= 1e-3, forward, np.where(forward >= 0, 1e-3, -1e-3))
    front = -stiffness_front * np.arctan((leftward + AHEAD * rate) / divisor - steering)
    rear = -stiffness_rear * np.arctan((leftward - BEHIND * rate) / divisor)
    drag = 1.36 * forward**2 + 0.01 * forward
    return np.stack(
        [
            forward * np.cos(yaw) - leftward * np.sin(yaw),
            forward * np.sin(yaw) + leftward * np.cos(yaw),
            rate,
            throttle - (front * np.sin(steering) + drag) / mass + leftward * rate,
            (front * np.cos(steering) + rear) / mass - forward * rate,
            (AHEAD * front * np.cos(steering) - BEHIND * rear) / INERTIA,
        ]
    )


def solve(actions: np.ndarray, tyres: str = "published", mass: float = MASS, start: Any = START) -> np.ndarray:
    """The exact solution under actions held for 0.1 s each.

    Args:
      actions: (steps, 2) throttle, steering.
      tyres: a key of `STIFFNESS`.
      mass: kg.
      start: (6,) the state at the start.

    Returns:
      (steps + 1, 6) states.
    """
    states = [np.asarray(start, float)]
    for action in np.asarray(actions, float):
        right = lambda _, state, action=action: slope(state, action, tyres, mass)  # noqa: E731
        states.append(solve_ivp(right, (0, 0.1), states[-1], "DOP853", rtol=1e-9, atol=1e-10).y[:, -1])
    return np.stack(states)


def random_actions(rng: np.random.Generator, sequences: int, tyres: str, hold: int = 1) -> np.ndarray:
    """Actions for 20 s on which accuracy is judged: all of them, with road tyres those that keep the car rolling.

    Args:
      rng: where they come from.
      sequences: how many.
      tyres: a key of `STIFFNESS`.
      hold: control steps between changes of the action, a divisor of 200.

    Returns:
      (sequences, 200, 2) throttle, steering.
    """
    low, high = {"published": ([-1.0, -1.0], [1.0, 1.0]), "road": ([0.0, -0.3], [1.0, 0.3])}[tyres]
    return np.repeat(rng.uniform(low, high, (sequences, 200 // hold, 2)), hold, axis=1)


def midpoint_step(state: np.ndarray, action: np.ndarray, tyres: str, substeps: int) -> np.ndarray:
    """One control step by midpoint steps, the stages of which the task's own rule has as many: for timing.

    Args:
      state: (6, cars).
      action: (2, cars).
      tyres: a key of `STIFFNESS`.
      substeps: how many midpoint steps.

    Returns:
      (6, cars) the state after 0.1 s.
    """
    seconds = 0.1 / substeps
    for _ in range(substeps):
        state = state + seconds * slope(state + seconds / 2 * slope(state, action, tyres), action, tyres)
    return state
