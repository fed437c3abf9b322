"""`python ray_cluster.py OUT WORDS...`: two shards on a Ray cluster of two nodes, of which one is killed halfway."""

import json
import sys
import threading
import time
from pathlib import Path

import psutil

from maxent_jax import checkpoints, locks, resuming, submit


def pid(folder: Path) -> int | None:
    """The process that trains a shard."""
    try:
        return int(json.loads((folder / locks.NAME).read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None


def main(out: str, *words: str) -> None:
    # here: pytest looks for doctests in every module, with or without Ray
    import ray  # pyright: ignore[reportMissingImports]
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    shards = submit.Shards(words, Path(out), 2)
    folders = [Path(out) / f"shard-{index}-of-2" for index in (1, 2)]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    failed = []

    def train() -> None:
        try:
            submit.Ray(shards, address=cluster.address).train()
        except Exception as error:
            failed.append(repr(error))

    thread = threading.Thread(target=train)
    thread.start()
    while thread.is_alive() and not all(checkpoints.names(folder) for folder in folders):
        time.sleep(0.05)
    before = [pid(folder) for folder in folders]
    finished = [resuming.is_finished(folder) for folder in folders]
    cluster.remove_node(nodes[0], allow_graceful=False)
    while thread.is_alive() and all(number and psutil.pid_exists(number) for number in before):
        time.sleep(0.05)
    dead = [number for number in before if number and not psutil.pid_exists(number)]
    thread.join()
    ray.shutdown()
    cluster.shutdown()
    print(json.dumps({"failed": failed, "finished_before": finished, "dead": len(dead)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
