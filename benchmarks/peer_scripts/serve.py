"""What the peers' scripts share: requests in on stdin, replies out on stdout, one line of JSON each.

A script makes trainings (see `Training`); `serve` measures them when asked to and is idle between. Nothing here needs
more than the standard library and numpy, so that it runs in every peer's environment.
"""

import json
import os
import sys
import time
import traceback
from importlib import metadata

import numpy as np

HORIZON = 200
STARTS = np.random.default_rng(0).uniform((-np.pi, -1.0), (np.pi, 1.0), (20, 2))
"""Angles and angular velocities at which the episodes of an evaluation begin."""


class Training:
    """What a script makes of settings: a training that goes on for as long as it is asked to."""

    def advance(self):
        """One chunk; returns (environment steps, updates, seconds), of all runs and without any evaluation."""
        raise NotImplementedError

    def evaluate(self):
        """The mean return of whole episodes by the policy's mean action."""
        raise NotImplementedError


def timed(function):
    """Seconds until a function has returned."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def mean_return(act):
    """Mean return of episodes that begin at `STARTS`.

    Args:
      act: `act(obs) -> action`, (20, 3) float32 to (20, 1) in [-1, 1].

    Returns:
      The return of Gymnasium's Pendulum-v1, computed here for all alike.
    """
    theta, speed = STARTS.T
    total = np.zeros(len(STARTS))
    for _ in range(HORIZON):
        obs = np.stack([np.cos(theta), np.sin(theta), speed], axis=1).astype(np.float32)
        torque = 2.0 * np.clip(np.asarray(act(obs), np.float64).reshape(len(STARTS)), -1.0, 1.0)
        wrapped = (theta + np.pi) % (2 * np.pi) - np.pi
        total -= wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2
        speed = np.clip(speed + 0.05 * (15.0 * np.sin(theta) + 3.0 * torque), -8.0, 8.0)
        theta = theta + 0.05 * speed
    return float(total.mean())


class Trainings:
    """Answers requests about trainings, which it keeps by the row that they are measured for."""

    def __init__(self, make, packages):
        """`make(settings, seed) -> Training`, and whose versions to tell."""
        self.make, self.packages, self.kept = make, packages, {}

    def versions(self):
        """What is installed here."""
        return {name: metadata.version(name) for name in self.packages}

    def prepare(self, row, settings):
        """Make a training and warm it up, until it learns in every chunk.

        The first chunk compiles; the seconds beyond those of the next are told.
        """
        began = time.perf_counter()
        training = self.kept[row] = self.make(settings, 0)
        steps = training.advance()[0]
        first = time.perf_counter() - began
        more, _, second = training.advance()
        steps += more
        while steps < settings.get("runs", 1) * settings.get("prefill", 0):
            steps += training.advance()[0]
        return {"startup_seconds": first - second}

    def measure(self, row, seconds):
        """Train for about so long."""
        counts = np.zeros(3)
        while counts[2] < seconds:
            counts += self.kept[row].advance()
        return dict(zip(("env_steps", "updates", "seconds"), counts.tolist(), strict=True))

    def learn(self, settings, seed, goal, most):
        """Train a fresh agent until its evaluation reaches `goal`, or for `most` steps.

        The first chunk may compile: it counts as the median of the others, or for nothing if it is alone.

        Returns:
          Environment steps and evaluations after every chunk, seconds in all, and whether the goal was reached.
        """
        training, steps, times, points = self.make(settings, seed), 0, [], []
        while steps < most and (not points or points[-1][1] < goal):
            done, _, seconds = training.advance()
            steps += done
            times.append(seconds)
            points.append([steps, training.evaluate()])
        times[0] = float(np.median(times[1:])) if times[1:] else 0.0
        return {"points": points, "seconds": sum(times), "reached": points[-1][1] >= goal}


def serve(peer):
    """Answer requests until stdin ends: `do` names a method of `peer`, the rest are its arguments."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(peer, request.pop("do"))(**request)
        except Exception as error:
            traceback.print_exc()
            text = str(error).strip().splitlines()
            reply = {"error": f"{type(error).__name__}: {text[-1] if text else 'no message'}"}
        print(json.dumps(reply), file=replies, flush=True)
