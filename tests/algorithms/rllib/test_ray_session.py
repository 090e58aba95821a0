"""Ray sessions: refused addresses, and the local instance."""

import socket
import subprocess
import sys
import time

import pytest

from dreamer_exp.algorithms.rllib import ray_session as cluster
from dreamer_exp.algorithms.rllib.ray_session import ray_session
from dreamer_exp.config.errors import UserError
from tests.experiments import nano


def test_address_without_a_listener_is_refused_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    experiment = nano("hardware=ray_cluster", f"hardware.ray_address=127.0.0.1:{port}")
    with (
        pytest.raises(UserError, match=r"hardware\.ray_address=.*no Ray cluster answers there"),
        ray_session(experiment),
    ):
        pass


def test_listener_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "STATUS_TIMEOUT_S", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        experiment = nano("hardware=ray_cluster", f"hardware.ray_address=127.0.0.1:{silent.getsockname()[1]}")
        with (
            pytest.raises(UserError, match=r"no Ray cluster answers.*no answer after 5 s"),
            ray_session(experiment),
        ):
            pass


@pytest.mark.slow
def test_a_gcs_server_that_dies_while_ray_starts_is_named() -> None:
    code = """
import threading, time, psutil
from dreamer_exp.algorithms.rllib import ray_session as cluster
def kill():
    while True:
        for each in psutil.Process().children():
            if each.name() == "gcs_server":
                each.kill()
                print(time.time(), flush=True)
                return
threading.Thread(target=kill, daemon=True).start()
with cluster.local_ray(1, 0):
    pass
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert time.time() - float(ended.stdout) < 45  # Ray's wait for its port, 30 s, cannot be cut short
    assert ended.returncode == 1
    assert "Ray's GCS server (process " in ended.stderr


def test_local_ray_listens_only_on_loopback() -> None:
    code = """
import psutil
from dreamer_exp.algorithms.rllib import ray_session as cluster
with cluster.local_ray(1, 0):
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    found = [c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    print(*sorted(set(found)))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert set(ended.stdout.split()) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert ended.stdout.split()
