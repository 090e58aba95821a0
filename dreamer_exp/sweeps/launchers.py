"""Hydra's launchers: which are supported, the settings that jobs need, and the machine that resolves `auto`."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import replace

from dreamer_exp.config.command_words import quoted
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.multirun import Multirun
from dreamer_exp.config.schema import AUTO
from dreamer_exp.hardware import Machine
from dreamer_exp.scratch import SHARED_MEMORY, has_shared_memory

HERE = ("joblib", "basic", "submitit_local")  # launchers that run all jobs on this machine
LAUNCHERS = (*HERE, "submitit_slurm", "ray")
# override: the module that provides it, and the extra that installs the module
PLUGINS = {
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/sweeper=optuna": ("hydra_plugins.hydra_optuna_sweeper", "optuna"),
}
A_YEAR_MIN = 365 * 24 * 60


def require_plugins(words: Sequence[str]) -> None:
    """Raise UserError for a launcher or sweeper that is not installed, naming the extra."""
    for word in words:
        module, extra = PLUGINS.get(word, ("hydra", ""))
        if importlib.util.find_spec(module) is None:
            raise UserError(f"{word} is not installed: pip install 'dreamer-exp[{extra}]'.")


def refuse_unknown(launcher: str) -> None:
    """Raise UserError for an unsupported launcher, or one that cannot work on this machine."""
    if launcher not in LAUNCHERS:
        hint = nearest(launcher, LAUNCHERS)
        raise UserError(f"hydra/launcher={launcher}: the launchers are {', '.join(LAUNCHERS)}.{hint}")
    if launcher == "joblib" and not has_shared_memory():
        raise UserError(
            f"hydra/launcher=joblib needs {SHARED_MEMORY}, which this machine lacks: mount it (in Docker: "
            "--shm-size=1g), or use hydra/launcher=basic, one job at a time."
        )


def given_slots(request: Multirun) -> int | None:
    """Return the number of parallel jobs that the user set, or None."""
    if request.launcher == "basic":
        return 1
    given = int(request.hydra.launcher.n_jobs) if request.launcher == "joblib" else 0
    return given if given > 0 else None


def launcher_words(request: Multirun, slots: int | None, machine: Machine) -> list[str]:
    """Return overrides for the launcher in addition to the user's."""
    if request.launcher == "joblib":
        return [f"hydra.launcher.n_jobs={slots}"]
    if request.launcher != "submitit_local":
        return []
    words = []
    if not request.sets("hydra.launcher.timeout_min"):  # submitit's default is an hour; sweep.job_timeout limits a job
        words.append(f"hydra.launcher.timeout_min={A_YEAR_MIN}")
    if machine.gpus:  # submitit hides all GPUs
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(machine.gpus)))
        words.append(f"++hydra.job.env_set.CUDA_VISIBLE_DEVICES={quoted(visible)}")
    return words


def machine_elsewhere(request: Multirun, machine: Machine) -> Machine:
    """Return the machine of a job elsewhere: a SLURM allocation, or a cluster node like this machine.

    Raises:
        UserError: the allocation or the cluster is not named.
    """
    if request.launcher == "ray":
        _require_cluster(request)
        return machine
    given = request.hydra.launcher
    if not given.cpus_per_task:
        raise UserError(
            "hydra/launcher=submitit_slurm: set what a job gets: hydra.launcher.cpus_per_task=8, and as needed "
            "gpus_per_node, mem_gb, timeout_min (default 60), partition, account."
        )
    source = "hydra.launcher"
    memory = int(given.mem_gb) * 2**30 if given.mem_gb else 2**50  # unknown here; the job reads it
    return replace(
        machine,
        cpus=int(given.cpus_per_task),
        gpus=int(given.gpus_per_node or given.gpus_per_task or (1 if given.gres else 0)),
        memory_bytes=memory,
        memory_available_bytes=memory,
        gpu_memory_bytes=0,
        sources={**machine.sources, "cpus": f"{source}.cpus_per_task", "gpus": f"{source}.gpus_per_node",
                 "memory_bytes": f"{source}.mem_gb", "memory_available_bytes": f"{source}.mem_gb"},
    )  # fmt: skip


def refuse_shared_gpus(request: Multirun) -> None:
    """Raise UserError for `sweep.jobs_per_gpu` with jobs that each get an allocation of SLURM, or learners, or auto."""
    wanted = request.common.sweep.jobs_per_gpu
    if wanted == 1:
        return
    if request.launcher != "ray":
        raise UserError(f"sweep.jobs_per_gpu={wanted}: each job of hydra/launcher={request.launcher} has its own GPUs.")
    if wanted == AUTO:
        raise UserError("sweep.jobs_per_gpu=auto: the GPUs of a cluster are not known here; give a number.")
    if request.common.hardware.num_learners:
        raise UserError(
            f"sweep.jobs_per_gpu={wanted}: learner processes take complete GPUs; use hardware.num_learners=0."
        )


def _require_cluster(request: Multirun) -> None:
    address = request.common.hardware.ray_address
    if address is None:
        raise UserError(
            "hydra/launcher=ray: which cluster? Set hardware.ray_address=HOST:PORT, as `ray start --head` prints it."
        )
    if not request.common.dry_run:
        from dreamer_exp.algorithms.rllib.ray_session import check_answers  # imports Ray

        check_answers(address)
