"""The launcher hydra/launcher=ray: runs the jobs of a sweep as tasks of a Ray cluster.

hydra-ray-launcher 1.2.2 is not used: it needs boto3, Ray's dashboard, and an older cloudpickle than Ray 2.60. Hydra
imports this module at every start, so Ray is imported only in functions.
"""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

POLL_S = 1.0


@dataclass
class RayLauncherConf:
    """Settings of the launcher: none, because `hardware.ray_address` names the cluster."""

    _target_: str = "hydra_plugins.dreamer_exp_ray.RayLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayLauncherConf, provider="dreamer_exp")


@dataclass(frozen=True)
class Task:
    """One job, and the resources of the cluster that it needs.

    Attributes:
        num: its number in the sweep.
        config: its composed config.
        main_cpus: CPUs of its main process.
        main_gpus: GPUs of its main process, or the fraction of one.
        cpus: CPUs of the main process, its env runners and learners.
        gpus: GPUs of the main process and its learners.
    """

    num: int
    config: DictConfig
    main_cpus: int
    main_gpus: float
    cpus: int
    gpus: float


class RayLauncher(Launcher):  # type: ignore[misc]  # Hydra's classes are untyped
    """Launcher of jobs as Ray tasks; their directories must be on a file system that all nodes share."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what Hydra passes to a launcher."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run these jobs, as many at a time as fit into the cluster with all of their env runners.

        Raises:
            UserError: no cluster answers, or one job alone does not fit.
        """
        from dreamer_exp.algorithms.rllib.ray_session import join  # sets variables before it imports Ray

        setup_globals()
        before = signal.getsignal(signal.SIGTERM)
        join(self.config.hardware.ray_address)
        signal.signal(signal.SIGTERM, before)  # Ray installs its own handler
        import ray

        try:
            address = ray.get_runtime_context().gcs_address
            tasks = [self._task(initial_job_idx + i, words, address) for i, words in enumerate(job_overrides)]
            remote = ray.remote(max_retries=0)(_run_task)
            common = ray.put((self.hydra_context, self.task_function, Singleton.get_state(), os.getcwd()))

            def start(task: Task) -> Any:
                return remote.options(num_cpus=task.main_cpus, num_gpus=task.main_gpus).remote(task, common)

            return _run_all(tasks, start)
        finally:
            ray.shutdown()

    def _task(self, num: int, overrides: Sequence[str], address: str) -> Task:
        """Return a job whose `auto` values are resolved here, not on the node that runs it.

        With `num_cpus: auto` the main process gets one CPU, and so one thread: jobs whose threads compete for the same
        CPUs take ten times as long.
        """
        from dreamer_exp.config import multirun
        from dreamer_exp.config.schema import AUTO
        from dreamer_exp.hardware import probe
        from dreamer_exp.sweeps.plan import load_job

        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        hardware = load_job(multirun.without_hydra(config), probe()).hardware
        each = int(config.sweep.jobs_per_gpu)  # Ray gives jobs with a fraction of a GPU the same one
        gpus, learners = hardware.num_gpus_per_learner, hardware.num_learners
        others = hardware.num_env_runners + learners
        share = config.hardware.num_cpus == AUTO
        main = 1 if share else max(1, hardware.num_cpus - others)
        with open_dict(config):
            config.hydra.job.id = f"{config.hydra.job.name}_{num}"
            config.hydra.job.num = num
            config.hardware.ray_address = address
            if share:
                config.hardware.num_cpus = main + others
            config.hardware.num_env_runners = hardware.num_env_runners
            config.hardware.num_gpus_per_learner = gpus
        return Task(
            num=num,
            config=config,
            main_cpus=main,
            main_gpus=0 if learners else gpus / each if gpus == 1 else gpus,
            cpus=main + others,
            gpus=gpus / each if gpus == 1 and not learners else gpus * max(1, learners),
        )


def _run_task(task: Task, common: tuple[HydraContext, TaskFunction, Any, str]) -> JobReturn:
    """Run a job on a node of the cluster, like the workers of Hydra's other launchers."""
    hydra_context, task_function, singletons, directory = common
    os.chdir(directory)
    setup_globals()
    Singleton.set_state(singletons)
    return run_job(
        hydra_context=hydra_context,
        task_function=task_function,
        config=task.config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _run_all(tasks: list[Task], start: Callable[[Task], Any]) -> list[JobReturn]:
    """Return the results of all tasks, in their order.

    A task starts only when its env runners fit too: tasks that hold the CPUs their env runners need would block.
    """
    import ray

    waiting, ended = list(tasks), {}
    running: dict[Any, Task] = {}
    while waiting or running:
        while waiting and _fits([*running.values(), waiting[0]]):
            task = waiting.pop(0)
            running[start(task)] = task
        if not running:
            _refuse(waiting[0])
        done, _ = ray.wait(list(running), timeout=POLL_S)
        for reference in done:
            task = running.pop(reference)
            ended[task.num] = _result(reference, task)
    return [ended[task.num] for task in tasks]


def _fits(together: list[Task]) -> bool:
    import ray

    room = ray.cluster_resources()
    largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    cpus, gpus = sum(task.cpus for task in together), sum(task.gpus for task in together)
    on_a_node = all(task.main_cpus <= largest for task in together)
    return bool(on_a_node and cpus <= room.get("CPU", 0) and gpus <= room.get("GPU", 0))


def _refuse(task: Task) -> None:
    """Raise UserError for a task that does not fit into the empty cluster."""
    import ray

    from dreamer_exp.config.errors import UserError

    room = ray.cluster_resources()
    raise UserError(
        f"job {task.num} needs {task.cpus} CPUs, {task.main_cpus} of them on one node, and {task.gpus:g} GPUs with its "
        "env runners, but the cluster at "
        f"{task.config.hardware.ray_address} has {room.get('CPU', 0):.0f} and {room.get('GPU', 0):.0f}: lower "
        "hardware.num_cpus, hardware.num_env_runners or hardware.num_gpus_per_learner, or add nodes."
    )


def _result(reference: Any, task: Task) -> JobReturn:
    """Return the result of a task. If Ray lost the task with its node, write its failure to job.json."""
    import ray

    from dreamer_exp.config.errors import typed_line
    from dreamer_exp.sweeps.records import FAILED, job_directories, read_job

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as lost:
        root = dict(job_directories(Path(task.config.hydra.sweep.dir))).get(task.num)
        job = read_job(root) if root else None
        if root and job:
            job.ended(FAILED, typed_line(lost)).write(root)
        return JobReturn(status=JobStatus.COMPLETED)
