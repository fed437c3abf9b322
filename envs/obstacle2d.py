"""A point that must go around a wall to its goal: the shortest way in is the one that is punished most."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Key, Task
from envs.fields import InvalidSetting, setting, show


class ObstacleState(flax.struct.PyTreeNode):
    """Where the point is.

    Attributes:
      position: (2,) x, y in m.
      steps: control steps since the reset: the reward knows of the time limit.
    """

    position: jax.Array
    steps: jax.Array


class Obstacle2D(Task):
    """Go from the origin to a goal behind a wall, without touching the wall.

    The action is a velocity (2), held for one control step, which at full speed is 3 m long: one step may leap the
    wall, so what must not touch it is the straight line from position to position. The observation (2) is
    (x - centre_x) / centre_x and y / scale_y. The reward of a step is

    * `crash_reward` where its line touches the wall (also where it ends in the goal); the episode ends,
    * else `goal_reward` where it ends within `goal_radius` of the goal; the episode ends,
    * else `timeout_reward` at the step at which the time limit strikes,
    * else `progress_weight` times the decrease of the distance to the goal.

    The start is not random. Straight ahead the wall is 2 m away, its ends are 2 m to either side; two steps suffice.

    Source: facts of the environment published with arXiv 2506.05615.
    """

    horizon: int = setting(51, "control steps until the time limit", low=1)
    max_speed: float = setting(3.0, "speed along x and along y at action 1, m/s", above=0)
    step_seconds: float = setting(1.0, "control step, s", above=0)
    start_x: float = setting(0.0, "where the point starts, m")
    start_y: float = setting(0.0, "where the point starts, m")
    goal_x: float = setting(3.0, "centre of the goal, m")
    goal_y: float = setting(0.0, "centre of the goal, m")
    goal_radius: float = setting(0.1, "radius of the goal, m", above=0)
    wall_x: float = setting(2.0, "where the wall begins, m")
    wall_thickness: float = setting(0.05, "extent of the wall along x, m", low=0)
    wall_reach: float = setting(2.0, "the wall lies at |y| up to this, m", low=0)
    crash_reward: float = setting(-200.0, "reward: touching the wall")
    goal_reward: float = setting(500.0, "reward: reaching the goal")
    progress_weight: float = setting(1.0, "reward: weight of the decrease of the distance to the goal, 1/m")
    timeout_reward: float = setting(0.0, "reward: at the time limit, in place of the decrease of the distance")
    centre_x: float = setting(2.025, "observation: x where 0 is seen, and how far from there 1 is, m", above=0)
    scale_y: float = setting(3.0, "observation: y where 1 is seen, m", above=0)

    def validate(self) -> None:
        """A start or a goal inside the wall, or a start in the goal, is no task."""
        for place in ("start", "goal"):
            x, y = getattr(self, f"{place}_x"), getattr(self, f"{place}_y")
            beside = (x < self.wall_x) | (x > np.add(self.wall_x, self.wall_thickness)) | (np.abs(y) > self.wall_reach)
            if not np.all(beside):
                raise InvalidSetting(f"env.{place}_x, {place}_y = {show(x)}, {show(y)}: must be outside the wall")
        distance = np.hypot(np.subtract(self.goal_x, self.start_x), np.subtract(self.goal_y, self.start_y))
        if np.any(distance <= self.goal_radius):
            raise InvalidSetting(
                f"env.goal_radius = {show(self.goal_radius)}: must be < the distance from start to goal, "
                f"{show(distance)}"
            )

    @property
    def observes(self) -> tuple[str, ...]:
        """The position, scaled."""
        return ("(x - centre_x) / centre_x", "y / scale_y")

    @property
    def acts(self) -> tuple[str, ...]:
        """A velocity."""
        return ("velocity along x, m/s", "velocity along y, m/s")

    @property
    def action_high(self) -> jax.Array:
        """Speed in m/s."""
        return jnp.full(2, self.max_speed)

    @property
    def mjcf(self) -> str:
        """From above: the point in blue, the wall in black, the goal in green."""
        wall, half, reach = float(self.wall_x), 0.5 * float(self.wall_thickness), float(self.wall_reach)
        goal = f"{float(self.goal_x)} {float(self.goal_y)} 0"
        return f"""
        <mujoco>
          <worldbody>
            <camera name="film" pos="{wall} 0 10" xyaxes="1 0 0 0 1 0"/>
            <geom type="plane" size="20 20 1" pos="0 0 -0.1" rgba="0.95 0.95 0.95 1"/>
            <geom type="box" size="{half + 0.02} {reach} 0.1" pos="{wall + half} 0 0" rgba="0.1 0.1 0.1 1"/>
            <geom type="cylinder" size="{float(self.goal_radius)} 0.05" pos="{goal}" rgba="0.2 0.7 0.3 1"/>
            <body pos="0 0 0.1">
              <joint type="slide" axis="1 0 0"/>
              <joint type="slide" axis="0 1 0"/>
              <geom size="0.12" rgba="0.2 0.4 0.8 1"/>
            </body>
          </worldbody>
        </mujoco>
        """

    def qpos(self, physics: ObstacleState) -> jax.Array:
        """(2,) the position."""
        return physics.position

    @property
    def goal(self) -> jax.Array:
        """(2,) centre of the goal, m."""
        return jnp.stack([self.goal_x, self.goal_y]).astype(jnp.float32)

    def start(self, key: Key) -> ObstacleState:
        """The same every time."""
        del key
        position = jnp.stack([self.start_x, self.start_y]).astype(jnp.float32)
        return ObstacleState(position, jnp.zeros((), jnp.int32))

    def advance(self, physics: ObstacleState, action: jax.Array) -> tuple[ObstacleState, jax.Array, jax.Array]:
        """Move along a straight line and see what it meets."""
        position = physics.position + action * self.max_speed * self.step_seconds
        after = ObstacleState(position, physics.steps + 1)
        distance = jnp.linalg.norm(self.goal - position)
        crashed = self._touches_wall(physics.position, position)
        arrived = distance <= self.goal_radius
        progress = self.progress_weight * (jnp.linalg.norm(self.goal - physics.position) - distance)
        reward = jnp.where(after.steps == self.horizon, self.timeout_reward, progress)
        reward = jnp.where(arrived, self.goal_reward, reward)
        reward = jnp.where(crashed, self.crash_reward, reward)
        return after, reward, crashed | arrived

    def observe(self, physics: ObstacleState) -> jax.Array:
        """Position relative to the middle of the wall, scaled."""
        x, y = physics.position
        return jnp.stack([(x - self.centre_x) / self.centre_x, y / self.scale_y])

    def _touches_wall(self, begin: jax.Array, end: jax.Array) -> jax.Array:
        """Whether a line (2,) to (2,) meets the wall: no axis separates them, neither x, y nor the line's normal."""
        half_wall = jnp.stack([0.5 * self.wall_thickness, self.wall_reach])
        middle = 0.5 * (begin + end) - jnp.stack([self.wall_x + half_wall[0], 0.0])
        half_line = 0.5 * (end - begin)
        overlaps = jnp.all(jnp.abs(middle) <= half_wall + jnp.abs(half_line))
        across = jnp.abs(half_line[0] * middle[1] - half_line[1] * middle[0])
        return overlaps & (across <= half_wall[0] * jnp.abs(half_line[1]) + half_wall[1] * jnp.abs(half_line[0]))
