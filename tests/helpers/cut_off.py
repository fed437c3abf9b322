"""Trainings on the toy problem that end without a word, as if their process had been killed."""

import pytest
import tiny

import maxent_jax
from maxent_jax.progress import Reporter

CALL = {"seeds": 2, "steps": 96, "evaluations": 3, "checkpoint_every": 1}


class Killed(BaseException):
    """What stands for the end of a process here; tests/benchmarks/test_kill.py ends real ones."""


def train(out, agent="sac", **options):
    return maxent_jax.train(agent, "toy", **CALL | {"agent_fields": tiny.FIELDS[agent], "out": out} | options)


def killed(out, chunks, agent="sac", call=train, **options):
    """A training that ends without a word after so many chunks of this process."""
    shown = []

    def chunk(self, program, chunk):
        shown.append(chunk.index)
        if len(shown) == chunks:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reporter, "chunk", chunk)
        with pytest.raises(Killed):
            call(out, **({"agent": agent} if call is train else {}), **options)
    return shown
