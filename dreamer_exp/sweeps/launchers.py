"""What Hydra's launchers have to be told for our jobs, and on which machine their "auto" becomes a number."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import replace

from dreamer_exp.config.checks import nearest
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.multirun import Multirun, quoted
from dreamer_exp.hardware import Machine

HERE = ("joblib", "basic", "submitit_local")  # launchers whose jobs all run on this machine
LAUNCHERS = (*HERE, "submitit_slurm", "ray")
# words of Hydra's: the module that makes them known, and our extra that brings it
PLUGINS = {
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/sweeper=optuna": ("hydra_plugins.hydra_optuna_sweeper", "optuna"),
}
A_YEAR_MIN = 365 * 24 * 60


def require_plugins(words: Sequence[str]) -> None:
    """Raises UserError for a launcher or sweeper that isn't installed, and says what brings it."""
    for word in words:
        module, extra = PLUGINS.get(word, ("hydra", ""))
        if importlib.util.find_spec(module) is None:
            raise UserError(f"{word} isn't installed: pip install 'dreamer-exp[{extra}]'.")


def refuse_unknown(launcher: str) -> None:
    """Raises UserError for a launcher that this project knows nothing of."""
    if launcher not in LAUNCHERS:
        hint = nearest(launcher, LAUNCHERS)
        raise UserError(f"hydra/launcher={launcher}: jobs are started by {', '.join(LAUNCHERS)}.{hint}")


def given_slots(asked: Multirun) -> int | None:
    """The number of jobs side by side that the user gave; None: find one."""
    if asked.launcher == "basic":
        return 1
    given = int(asked.hydra.launcher.n_jobs) if asked.launcher == "joblib" else 0
    return given if given > 0 else None


def launcher_words(asked: Multirun, slots: int | None, machine: Machine) -> list[str]:
    """What the launcher is told beyond what the user says."""
    if asked.launcher == "joblib":
        return [f"hydra.launcher.n_jobs={slots}"]
    if asked.launcher != "submitit_local":
        return []
    words = []
    if not asked.says("hydra.launcher.timeout_min"):  # an hour if nothing is said; a job's limit is sweep.job_timeout
        words.append(f"hydra.launcher.timeout_min={A_YEAR_MIN}")
    if machine.gpus:  # submitit hides them all
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(machine.gpus)))
        words.append(f"++hydra.job.env_set.CUDA_VISIBLE_DEVICES={quoted(visible)}")
    return words


def machine_elsewhere(asked: Multirun, machine: Machine) -> Machine:
    """What a job will find where its launcher starts it: a SLURM allocation, or a node of a cluster like this machine.

    Raises:
        UserError: the user has to say more.
    """
    if asked.launcher == "ray":
        _require_cluster(asked)
        return machine
    given = asked.hydra.launcher
    if not given.cpus_per_task:
        raise UserError(
            "hydra/launcher=submitit_slurm: say what a job gets: hydra.launcher.cpus_per_task=8, and as needed "
            "gpus_per_node, mem_gb, timeout_min (60 if nothing is said), partition, account."
        )
    told = "hydra.launcher"
    memory = int(given.mem_gb) * 2**30 if given.mem_gb else 2**50  # not known here; the job itself looks again
    return replace(
        machine,
        cpus=int(given.cpus_per_task),
        gpus=int(given.gpus_per_node or given.gpus_per_task or (1 if given.gres else 0)),
        memory_bytes=memory,
        memory_available_bytes=memory,
        gpu_memory_bytes=0,
        sources={**machine.sources, "cpus": f"{told}.cpus_per_task", "gpus": f"{told}.gpus_per_node",
                 "memory_bytes": f"{told}.mem_gb", "memory_available_bytes": f"{told}.mem_gb"},
    )  # fmt: skip


def _require_cluster(asked: Multirun) -> None:
    address = asked.common.hardware.ray_address
    if address is None:
        raise UserError(
            "hydra/launcher=ray: which cluster? hardware.ray_address=HOST:PORT, as `ray start --head` tells it."
        )
    if not asked.common.dry_run:
        from dreamer_exp.algorithms.rllib.ray_session import check_answers  # here, as it imports Ray

        check_answers(address)
