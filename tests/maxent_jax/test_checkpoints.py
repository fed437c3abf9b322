import os
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxent_jax import checkpoints, freezing, wholes
from maxent_jax.checkpoints import Place
from maxent_jax.compiled import Chunk
from maxent_jax.faults import Fault
from maxent_jax.saver import Saver
from maxent_jax.trainer import Counters, Run

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of no bytes


def place(chunk, program=0):
    return Place(program, chunk, 0, NOTHING, 1.5)


def state(steps=3, capacity=5):
    """A run with everything that is awkward to save: keys, flags, scalars, nothing at all, and an empty array."""
    rows = jnp.arange(2 * capacity * 4, dtype=jnp.uint32).reshape(2, capacity, 4)
    keys = jax.random.split(jax.random.key(3), 2)
    env = {"noise": keys, "flag": jnp.array([True, False]), "none": None, "empty": jnp.zeros((2, 0))}
    agent = {"w": jnp.array([[1.5, jnp.nan], [-0.0, 1e-42]]), "count": jnp.arange(2)}
    failure = jax.vmap(lambda _: freezing.none())(jnp.arange(2))
    run = Run(agent=agent, env=env, episode_return=jnp.ones((2, 1)), rows=rows, key=keys, failure=failure)
    return run, Counters(jnp.int32(steps), jnp.int32(7))


def bits(tree):
    plain = jax.tree.map(lambda x: jax.random.key_data(x) if x.dtype.name.startswith("key") else x, tree)
    return jax.tree.map(lambda x: (x.dtype, x.shape, np.asarray(x).tobytes()), plain)


def shapes(run):
    return jax.eval_shape(lambda: run)


def saved(path, where, steps=3, keep=2):
    run, counters = state(steps)
    checkpoints.save(path, where, checkpoints.to_host(run, counters, 2), keep)
    return run, counters


def test_every_bit_comes_back_and_replay_as_far_as_it_was_filled(tmp_path):
    run, counters = saved(tmp_path, place(4))
    found, notes = checkpoints.newest(tmp_path)
    assert (found, notes) == (place(4), [])
    again, counted = checkpoints.load(tmp_path, found, shapes(run))
    assert bits(counted) == bits(counters)
    assert bits(again.replace(rows=None)) == bits(run.replace(rows=None))
    assert jax.tree.structure(again) == jax.tree.structure(run)
    assert again.rows is not None
    assert run.rows is not None
    np.testing.assert_array_equal(again.rows[:, :3], run.rows[:, :3])
    assert not np.any(again.rows[:, 3:])


def test_nothing_is_filled_yet(tmp_path):
    run, _ = saved(tmp_path, place(0), steps=0)
    again, _ = checkpoints.load(tmp_path, place(0), shapes(run))
    np.testing.assert_array_equal(again.rows, np.zeros((2, 5, 4), np.uint32))


def test_an_agent_without_replay(tmp_path):
    run, counters = state()
    run = run.replace(rows=None)
    checkpoints.save(tmp_path, place(0), checkpoints.to_host(run, counters, 2), 1)
    again, _ = checkpoints.load(tmp_path, place(0), shapes(run))
    assert again.rows is None
    assert bits(again) == bits(run)


@pytest.mark.parametrize("steps", [5, 12])
def test_a_full_ring_is_whole(steps, tmp_path):
    run, _ = saved(tmp_path, place(4), steps)
    again, _ = checkpoints.load(tmp_path, place(4), shapes(run))
    np.testing.assert_array_equal(again.rows, run.rows)


def test_a_longer_replay_is_filled_up(tmp_path):
    run, _ = saved(tmp_path, place(4), 5)
    longer, _ = checkpoints.load(tmp_path, place(4), shapes(state(capacity=8)[0]))
    np.testing.assert_array_equal(longer.rows, np.pad(run.rows, ((0, 0), (0, 3), (0, 0))))


def test_a_checkpoint_of_something_else_is_a_fault(tmp_path):
    saved(tmp_path, place(4))
    run, _ = state()
    others = [
        run.replace(episode_return=jnp.ones((2, 2))),
        run.replace(env=run.env | {"more": jnp.ones(2)}),
        run.replace(env={}),
        run.replace(rows=jnp.zeros((2, 2, 4), jnp.uint32)),
        run.replace(rows=None),
        run.replace(agent={"w": run.agent["w"]}),
        run.replace(episode_return=jnp.ones((2, 1), jnp.int32)),
    ]
    for other in others:
        with pytest.raises(Fault, match="is of another program than this one"):
            checkpoints.load(tmp_path, place(4), shapes(other))


def test_the_copy_outlives_what_the_next_chunk_is_given_and_holds_nothing_of_it():
    run, counters = state()
    before = bits(run)
    kept = checkpoints.to_host(run, counters, 2)
    plain = run.replace(key=jax.random.key_data(run.key), env=None)
    step = jax.jit(lambda run: jax.tree.map(lambda x: x + 1, run), donate_argnums=0)
    jax.block_until_ready(step(plain))
    assert plain.rows is not None
    assert kept.run.rows is not None
    assert plain.rows.is_deleted()  # nobody held it: the chunk could have it
    assert kept.run.rows.tobytes() == np.arange(40, dtype=np.uint32).reshape(2, 5, 4)[:, :3].tobytes()
    assert bits(kept.run.agent) == before.agent


def test_only_the_newest_stay_in_the_order_of_time(tmp_path):
    for where in (place(9), place(10), place(1, program=1), place(2, program=1)):
        saved(tmp_path, where, keep=3)
    assert checkpoints.names(tmp_path) == ["state_000000_000010", "state_000001_000001", "state_000001_000002"]
    assert checkpoints.peek(tmp_path) == place(2, program=1)


def test_another_schema_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SCHEMA", 99)
    saved(tmp_path, place(1))
    monkeypatch.undo()
    found, notes = checkpoints.newest(tmp_path)
    assert found == place(1)
    assert notes == ["state_000000_000001: its schema is 99, ours is 2: what it holds may mean something else"]


def test_what_was_not_finished_is_no_checkpoint_and_is_removed(tmp_path, monkeypatch):
    saved(tmp_path, place(1))

    def interrupt(*_):
        raise OSError("full")

    monkeypatch.setattr(wholes, "checksum", interrupt)
    with pytest.raises(OSError, match="full"):
        saved(tmp_path, place(2))
    monkeypatch.undo()
    folder = tmp_path / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["state_000000_000001"]
    for name in ("state_000000_000003.part", "program_0.part", "program_0"):
        (folder / name / "d").mkdir(parents=True)
    saved(tmp_path, place(4))
    assert checkpoints.newest(tmp_path)[0] == place(4)
    checkpoints.go_back(tmp_path, place(1))
    assert [path.name for path in folder.iterdir()] == ["state_000000_000001"]


def test_what_a_checkpoint_counts_on_is_on_the_disk_before_it(tmp_path, monkeypatch):
    synced = []

    def sync(handle):
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        synced.append((path.relative_to(tmp_path).as_posix(), checkpoints.names(tmp_path)))

    monkeypatch.setattr(os, "fsync", sync)
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / name).write_text("12345")
    saved(tmp_path, Place(0, 1, 5, checkpoints.prefix_checksum(tmp_path / "metrics.jsonl", 5), 1.5))
    assert synced[:3] == [("config.json", []), ("metrics.jsonl", []), (".", [])]
    assert synced[-1] == ("checkpoints", ["state_000000_000001"])


def test_nothing_is_nothing(tmp_path):
    assert checkpoints.newest(tmp_path) == (None, [])
    assert checkpoints.peek(tmp_path) is None
    checkpoints.go_back(tmp_path, None)


@pytest.fixture
def log(monkeypatch):
    """What a saver saves: nothing is written, each takes as long as the clock is told."""
    seen = []
    monkeypatch.setattr(checkpoints, "save", lambda directory, place, state, keep, stop: seen.append(place.chunk))
    return seen


def ran(seconds=1.0, index=1):
    """A chunk of two runs."""
    return Chunk(index, 3, 7, seconds, {"return_training": np.zeros(2, np.float32)}, *state())


def follow(saver, chunks, seconds=1.0):
    for chunk in range(chunks):
        saver.after(place(chunk), ran(seconds), 1000)
        if saver._pending is not None:
            saver._pending.result()
    saver.save(place(chunks - 1), ran(seconds))
    saver.wait()
    saver.close()


@pytest.mark.parametrize(
    ("every", "expected"), [(1, [0, 1, 2, 3, 4, 5, 6]), (2, [0, 2, 4, 6]), (4, [0, 4, 6]), (100, [0, 6])]
)
def test_every_kth_chunk_the_first_and_the_last(every, expected, log, tmp_path):
    follow(Saver(tmp_path, every, 2), 7)
    assert log == expected


@pytest.mark.parametrize("cost", [0.5, 4.0])
def test_by_default_checkpoints_cost_less_than_three_percent(cost, log, tmp_path, monkeypatch):
    clock = iter(np.arange(0, 1e6, cost))  # read when a checkpoint begins and when it ends
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    chunks, saver = 1000, Saver(tmp_path, None, 2)
    follow(saver, chunks)
    assert 3 <= len(log) <= 2 + 0.02 * chunks / cost
    assert 0.01 * chunks < len(log) * cost < 0.03 * chunks  # all of them, and what they may cost is used
    assert saver.share == len(log) * cost / chunks


def test_training_goes_on_while_a_checkpoint_is_written_and_hears_of_its_failure(tmp_path, monkeypatch):
    go = threading.Event()

    def slow(*_):
        assert go.wait(10)
        raise ValueError("RESOURCE_EXHAUSTED: no space")

    monkeypatch.setattr(checkpoints, "save", slow)
    saver = Saver(tmp_path, None, 2)
    saver.after(place(0), ran(), 1000)
    saver.after(place(1), ran(), 1000)  # does not wait
    go.set()
    with pytest.raises(checkpoints.Unsaved, match=r"state_000000_000000 cannot be written .*no space"):
        saver.wait()
    saver.close()


def test_the_bound_counts_a_chunk_and_its_checkpoint(log, tmp_path):
    saver = Saver(tmp_path, 1, 2)
    assert saver.bound is None
    saver.after(place(0), ran(0.1, index=0), 1000)
    assert saver.bound is None  # the prefill says nothing of what is trained after it
    follow(saver, 3, seconds=10.0)
    assert 20 < saver.bound < 40
