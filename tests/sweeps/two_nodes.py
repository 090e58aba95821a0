"""A Ray cluster of two nodes on this machine, in a process that ends when its standard input closes."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.sweeps.sweeping import CHECKOUT

STARTED = "cluster at "
NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 100 * 2**20}  # bytes


@contextmanager
def two_nodes(**environment: str) -> Iterator[str]:
    """Start two nodes of one CPU each, on different addresses, with these variables; yield the cluster's address.

    They end with the block, or when this process dies.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sweeps.two_nodes"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield next(line for line in process.stdout if line.startswith(STARTED)).removeprefix(STARTED).strip()
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def hold() -> None:
    """Start the nodes, print their address, and stop them when standard input closes."""
    importlib.import_module("dreamer_exp.algorithms")  # sets variables that Ray reads when it is imported
    from ray.cluster_utils import Cluster

    head = {**NODE, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**NODE, node_ip_address="127.0.0.2")
        print(f"{STARTED}{cluster.address}", flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    hold()
