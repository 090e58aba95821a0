"""Ray for one run: a local instance on loopback without log output, or a running cluster."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware

CONNECT_TIMEOUT_S = 3.0
STATUS_TIMEOUT_S = 60.0  # includes Ray's import from a slow disk; without an answer Ray gives up after 41 s
LOOPBACK = "127.0.0.1"

# environment variables that Ray reads when it starts
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # send no usage statistics
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # print no notice about CUDA_VISIBLE_DEVICES
}


@contextmanager
def ray_session(experiment: Experiment, shared: str | None = None) -> Iterator[None]:
    """Initialise Ray for this experiment within the block; shut it down or disconnect from it at the end.

    Args:
        experiment: The experiment; its `hardware` gives the resources.
        shared: Address of the Ray that a sweep's jobs on this machine share; used if hardware.ray_address is null.

    Raises:
        UserError: No cluster answers at hardware.ray_address, or it has too few CPUs.
    """
    hardware, debugging = experiment.hardware, experiment.run.log_level == "DEBUG"
    if hardware.ray_address is not None:
        _join(hardware, debugging)
    elif shared is not None:
        ray.init(address=shared, _node_ip_address=LOOPBACK, **_common(debugging))
    else:
        start_local(hardware.num_cpus, hardware.num_gpus_per_learner * max(1, hardware.num_learners), debugging)
    try:
        yield
    finally:
        ray.shutdown()


def start_local(num_cpus: int, num_gpus: int, debugging: bool = False) -> str:
    """Start a local Ray on loopback without a dashboard; return its address."""
    ray.init(
        address="local",  # instead of the cluster of RAY_ADDRESS or of an earlier `ray start`
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        include_dashboard=False,
        _node_ip_address=LOOPBACK,
        **_common(debugging),
    )
    return str(ray.get_runtime_context().gcs_address)


def stop_local() -> None:
    """Stop the local Ray."""
    ray.shutdown()


def _common(debugging: bool) -> dict[str, Any]:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    return {"logging_level": logging.DEBUG if debugging else logging.CRITICAL, "log_to_driver": debugging}


def join(address: str, debugging: bool = False) -> None:
    """Connect to a cluster; raise UserError if none answers."""
    check_answers(address)
    try:
        ray.init(address=address, **_common(debugging))
    except OSError as error:
        raise _no_answer(address, error) from error


def _join(hardware: Hardware, debugging: bool) -> None:
    join(str(hardware.ray_address), debugging)
    needed, cluster_cpus = hardware.num_env_runners + hardware.num_learners, ray.cluster_resources().get("CPU", 0)
    if needed > cluster_cpus:
        ray.shutdown()
        raise UserError(
            f"hardware.num_env_runners={hardware.num_env_runners}: the cluster at {hardware.ray_address} has "
            f"{cluster_cpus:.0f} CPUs, but the run needs {needed} and would wait indefinitely; lower it."
        )


def check_answers(address: str) -> None:
    """Raise UserError unless a Ray at host:port accepts this process; Ray itself would retry for a long time."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise _no_answer(address, error) from error
        if not address.startswith("ray://"):
            _check_status(address)


def _check_status(address: str) -> None:
    """Raise UserError if the listener is not Ray, or requires a token.

    Ray 2.60 starts a cluster with a token if its user has one (from a local run), but joins a cluster without one.
    """
    status = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        stderr = subprocess.run(status, capture_output=True, text=True, check=False, timeout=STATUS_TIMEOUT_S).stderr
    except subprocess.TimeoutExpired as error:
        raise _no_answer(address, f"`ray status` had no answer after {STATUS_TIMEOUT_S:.0f} s") from error
    if "RpcError" in stderr:
        raise _no_answer(address, stderr.strip().splitlines()[-1])
    if "AuthenticationError" in stderr:
        raise UserError(
            f"hardware.ray_address={address!r}: the Ray cluster there wants its token; `export RAY_AUTH_MODE=token` "
            "here and on its nodes, each with the ~/.ray/auth_token of the head."
        )


def _no_answer(address: str, why: object) -> UserError:
    return UserError(
        f"hardware.ray_address={address!r}: no Ray cluster answers there ({why}); start one with "
        "`ray start --head`, or leave it null for a local one."
    )
