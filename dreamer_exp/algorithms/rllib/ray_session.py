"""Ray for one run: a local instance on loopback without log output, or a running cluster."""

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # Ray's extension module is untyped

from dreamer_exp import leftovers
from dreamer_exp.algorithms.rllib.process_watch import POLL_S, ProcessDied, ProcessWatch, death_of
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.rundir.processes import Parent, notify
from dreamer_exp.scratch import TOKEN_PATH, has_shared_memory, ray_folder

CONNECT_TIMEOUT_S = 3.0
STATUS_TIMEOUT_S = 60.0  # includes Ray's import from a slow disk; without an answer Ray gives up after 41 s
LOOPBACK = "127.0.0.1"
GIVE_UP_S = 3.0  # for Ray's start to end after the death of one of its processes
NAMES = {"raylet": "Ray's raylet", "gcs_server": "Ray's GCS server"}
PLASMA_BYTES = 2**29  # of Ray's object store without shared memory: weights and fragments of episodes

# environment variables that Ray reads when it starts
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # send no usage statistics
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # print no notice about CUDA_VISIBLE_DEVICES
}


@contextmanager
def ray_session(experiment: Experiment, shared: str | None = None) -> Iterator[ProcessWatch]:
    """Initialise Ray for this experiment within the block; shut it down or disconnect from it at the end.

    The watch of its processes is yielded.

    Args:
        experiment: The experiment; its `hardware` gives the resources.
        shared: Address of the Ray that a sweep's jobs on this machine share; used if hardware.ray_address is null.

    Raises:
        UserError: No cluster answers at hardware.ray_address, or it has too few CPUs.
    """
    hardware, debugging = experiment.hardware, experiment.run.log_level == "DEBUG"
    if hardware.ray_address is None and shared is None:
        gpus = hardware.num_gpus_per_learner * max(1, hardware.num_learners)
        watch = ProcessWatch()
        with local_ray(hardware.num_cpus, gpus, debugging, is_left=lambda: watch.gave_up), _watched(watch):
            yield watch
        return
    if hardware.ray_address is not None:
        _join(hardware, debugging)
    else:
        ray.init(address=shared, _node_ip_address=LOOPBACK, **_common(debugging))
    with _watched(ProcessWatch()) as watch:
        try:
            yield watch
        finally:
            if not watch.has_death():  # else it would hang
                ray.shutdown()


@contextmanager
def _watched(watch: ProcessWatch) -> Iterator[ProcessWatch]:
    """Watch the processes of the present Ray on this host within the block."""
    processes = [(process.pid, NAMES[process.name()]) for process in _own_processes()]
    watch.add(processes)
    watch.start()
    _announce(processes)
    try:
        yield watch
    finally:
        watch.stop()


def _announce(processes: list[tuple[int, str]]) -> None:
    """Send the parent what it prints if Ray ends this process: in any call after the raylet's death, without a word."""
    logs = Path(ray._private.worker.global_worker.node.get_logs_dir_path())
    log = next(logs.glob(f"{leftovers.DRIVER_LOG}*_{os.getpid()}.log"), None)
    raylet = next((each for each in processes if each[1] == NAMES["raylet"]), None)
    if log is not None and raylet is not None:
        notify(ray_log=str(log), ray_died=death_of(*raylet))


def _own_processes() -> list[psutil.Process]:
    """Return the raylet and the GCS server of the session that this process has joined, as far as they run here."""
    session = Path(ray._private.worker.global_worker.node.get_session_dir_path()).name
    found = [each for each in psutil.process_iter(["name", "cmdline"]) if each.info["name"] in NAMES]
    return [each for each in found if session in " ".join(each.info["cmdline"] or [])]


@contextmanager
def local_ray(
    num_cpus: int, num_gpus: int, debugging: bool = False, is_left: Callable[[], bool] = lambda: False
) -> Iterator[str]:
    """Run an instance of our own within the block, on loopback, without a dashboard; yield its address.

    Its files and its token are in a private folder that is removed at the end: Ray itself would leave them in /tmp/ray,
    and the token, readable for everyone, in the home directory.

    Args:
        num_cpus: CPUs of the instance.
        num_gpus: GPUs of the instance.
        debugging: print Ray's logs.
        is_left: whether, at the end of the block, Ray stays until this process has ended: a thread still waits for an
            env runner, and Ray would end the process in that call. leftovers.py then kills it and removes its folder.

    Raises:
        UserError: there is no temporary folder for its sockets.
        ProcessDied: its raylet or its GCS server has ended while it started.
    """
    with ray_folder(is_left) as folder, _token_in(folder):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # not for Ray, when the terminal closes
        try:
            with _start_watched():
                ray.init(
                    address="local",  # not what RAY_ADDRESS or an earlier `ray start` would lead to
                    num_cpus=num_cpus,
                    num_gpus=num_gpus,
                    include_dashboard=False,
                    _node_ip_address=LOOPBACK,
                    _temp_dir=str(folder / "r"),  # Ray opens it to everyone; the folder above is private
                    **_object_store(folder),
                    **_common(debugging),
                )
        except ProcessDied:
            _kill(psutil.Process().children(recursive=True), folder)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        processes = _own_processes()
        try:
            yield str(ray.get_runtime_context().gcs_address)
        finally:
            if is_left():
                pass
            elif all(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes):
                ray.shutdown(wait_for_processes=True)
            else:  # it would hang
                _kill(psutil.Process().children(recursive=True), folder)


@contextmanager
def _start_watched() -> Iterator[None]:
    """Watch the processes of the Ray that the block starts; a death ends the block, or this process with it.

    Ray itself waits for a dead one for half a minute or more, in native code that nothing interrupts. While it waits
    for the port of its GCS server, 30 s at most, no thread runs either: the death is named when it gives up.
    """
    watch, is_up = ProcessWatch(), threading.Event()
    watch.start()

    def find() -> None:
        while not is_up.wait(POLL_S):
            _watch_started(watch)
            if watch.has_death() and not is_up.wait(GIVE_UP_S):
                if Parent.pid is None:  # else the parent prints it
                    print(f"dreamer_exp: {watch.death}", file=sys.stderr, flush=True)
                os._exit(1)

    threading.Thread(target=find, daemon=True).start()
    try:
        with watch.waiting():
            try:
                yield
            except Exception:
                _watch_started(watch)  # the thread may have had no time for it
                raise
    finally:
        is_up.set()
        watch.stop()


def _watch_started(watch: ProcessWatch) -> None:
    """Watch the raylet and the GCS server that are children of this process, dead ones too."""
    with suppress(psutil.Error):  # one has ended meanwhile
        found = {each.pid: each.name() for each in psutil.Process().children()}
        watch.add((pid, NAMES[name]) for pid, name in found.items() if name in NAMES)


def _kill(processes: list[psutil.Process], folder: Path) -> None:
    """Kill those of these processes that belong to the Ray in this folder."""
    for each in processes:
        with suppress(psutil.Error):
            words = each.cmdline()
            is_rays = each.name() in NAMES or each.name().startswith("ray::") or str(folder) in " ".join(words)
            if is_rays and leftovers.__file__ not in words:  # which cleans up if this process is killed now
                each.kill()


def _object_store(folder: Path) -> dict[str, Any]:
    """Return where Ray keeps objects: by default in shared memory; without it, in its folder."""
    return {} if has_shared_memory() else {"_plasma_directory": str(folder), "object_store_memory": PLASMA_BYTES}


@contextmanager
def _token_in(folder: Path) -> Iterator[None]:
    """Have Ray read its token from a private file in this folder, unless the user's environment chose another."""
    if any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", TOKEN_PATH)):
        yield
        return
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="ascii")
    os.environ[TOKEN_PATH] = str(token)
    AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        if not ray.is_initialized():  # else Ray has died, and its threads in this process need the token until the end
            del os.environ[TOKEN_PATH]
            os.environ.pop("RAY_AUTH_MODE", None)  # set by ray.init
            AuthenticationTokenLoader.instance().reset_cache()


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
