"""Waiting for what another process does."""

import time


def until(happened, seconds=100):
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
