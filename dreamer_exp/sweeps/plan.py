"""The plan of a sweep: its jobs, how many run in parallel, and the words for Hydra."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.checkpoints.initial import find_initial_weights
from dreamer_exp.config import load, multirun
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import AUTO
from dreamer_exp.envs.boundary import EnvironmentFailed
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.make import contract_of, require
from dreamer_exp.formatting import gibibytes
from dreamer_exp.hardware import Machine
from dreamer_exp.planning.forecast import forecast, gpu_bytes, host_bytes, settle
from dreamer_exp.planning.resolve import resolve
from dreamer_exp.planning.work import work_to_come
from dreamer_exp.sweeps.gpu_sharing import GpuNeed, GpuSharing, share_gpus
from dreamer_exp.sweeps.launchers import (
    HERE,
    given_slots,
    launcher_words,
    machine_elsewhere,
    refuse_shared_gpus,
    refuse_unknown,
    require_plugins,
)
from dreamer_exp.sweeps.losers import StopRule
from dreamer_exp.sweeps.records import SWEEP, SweepRecord, short
from dreamer_exp.sweeps.search import aim, search_words, trials_at_once
from dreamer_exp.sweeps.slots import Need, count_slots, share


@dataclass(frozen=True)
class Job:
    """One run of a sweep, named by its overrides."""

    name: str
    experiment: Experiment


@dataclass(frozen=True)
class Plan:
    """A sweep before it starts.

    Attributes:
        root: the sweep's directory.
        words: the command line for Hydra, with what is decided here.
        jobs: the jobs; empty if a sweeper chooses them during the sweep.
        description: the number of jobs, or the aim of a search.
        launcher: the option of hydra/launcher.
        slots: jobs that run in parallel on this machine; None if the launcher finds each job a machine.
        memory_available_bytes: free memory of this machine.
        actors: env runners and learners of the largest job, which are Ray actors.
        dry_run: whether only to print the plan.
        gpu_sharing: how jobs share a GPU of this machine.
        stop_rule: `sweep.stop` for the first job.
    """

    root: Path
    words: list[str]
    jobs: list[Job]
    description: str
    launcher: str
    slots: int | None
    memory_available_bytes: int
    actors: int
    dry_run: bool
    gpu_sharing: GpuSharing = GpuSharing()
    stop_rule: StopRule | None = None

    @property
    def env_steps(self) -> int:
        """Env steps of all jobs; 0 if a sweeper chooses them."""
        return sum(work_to_come(job.experiment).env_steps for job in self.jobs)

    @property
    def needs_ray(self) -> bool:
        """Return whether the jobs share a local Ray: they run on this machine, and one has no cluster to join."""
        return self.slots is not None and (
            not self.jobs or any(job.experiment.hardware.ray_address is None for job in self.jobs)
        )

    def record(self) -> SweepRecord:
        """Return the content of sweep.json."""
        return SweepRecord.new(self.words, [job.name for job in self.jobs], self.slots, self.memory_available_bytes)


def make_plan(words: list[str], machine: Machine) -> Plan:
    """Return the plan of a command line, with every job checked.

    Raises:
        UserError: a job cannot work; the message names it. Nothing has started then.
    """
    require_plugins(words)
    request = multirun.parse(words)
    refuse_unknown(request.launcher)
    tries, slots, sharing = request.jobs or request.samples, None, GpuSharing()
    if request.launcher in HERE:
        needs, on_gpu = zip(*(_need(name, config, machine) for name, config in tries), strict=True)
        at_once = len(request.jobs) or trials_at_once(request)
        sharing = share_gpus(request.common.sweep.jobs_per_gpu, [need for need in on_gpu if need], machine)
        slots = given_slots(request) or min(at_once, count_slots(needs * at_once, machine, sharing.jobs))
        sharing = replace(sharing, jobs=min(sharing.jobs, -(-slots // max(1, machine.gpus))))
        job_machine = share(machine, slots)
    else:
        job_machine = machine_elsewhere(request, machine)
        refuse_shared_gpus(request)
    is_new = not (request.root / SWEEP).exists()  # a resumed job may have its weights
    checked = [Job(name, _checked(name, config, job_machine, is_new)) for name, config in tries]
    return Plan(
        root=request.root,
        words=[*words, *request.hydra_overrides, *launcher_words(request, slots, machine), *search_words(request)],
        jobs=checked if request.jobs else [],
        description=f"{len(checked)} jobs" if request.jobs else aim(request),
        launcher=request.launcher,
        slots=slots,
        memory_available_bytes=machine.memory_available_bytes,
        actors=max(job.experiment.hardware.num_env_runners + job.experiment.hardware.num_learners for job in checked),
        dry_run=bool(request.common.dry_run),
        gpu_sharing=sharing,
        stop_rule=StopRule.of(tries[0][1].sweep, checked[0].experiment),
    )


def load_job(config: DictConfig, machine: Machine) -> Experiment:
    """Return the experiment of a job, checked like that of a single run.

    Raises:
        UserError: the experiment cannot work.
    """
    return _resolve(config, machine)[0]


def _resolve(config: DictConfig, machine: Machine) -> tuple[Experiment, ObservationContract]:
    return resolve(load.load_experiment(config, machine), machine)


@contextmanager
def _named(job: str) -> Iterator[None]:
    """Add the name of the job to the message of what it cannot start with."""
    try:
        yield
    except (UserError, EnvironmentFailed) as error:
        raise type(error)(f"{error} (the job {job})" if job else str(error)) from error


def _checked(name: str, config: DictConfig, machine: Machine, is_new: bool) -> Experiment:
    with _named(name):
        experiment, contract = _resolve(config, machine)
        if is_new:
            find_initial_weights(experiment, contract)
        StopRule.of(config.sweep, experiment)
        if not config.dry_run:
            require(experiment.env)
    return experiment


def _need(name: str, config: DictConfig, machine: Machine) -> tuple[Need, GpuNeed | None]:
    """Return what a job needs: a CPU for its main process, one for each env runner set by number, and of a GPU.

    Under `auto` a job uses what its slot has, so it needs one CPU here.
    """
    hardware = config.hardware
    runners = 0 if hardware.num_env_runners == AUTO else int(hardware.num_env_runners)
    gpus = min(1, machine.gpus) if hardware.num_gpus_per_learner == AUTO else int(hardware.num_gpus_per_learner)
    cpus = max(1, 1 + runners if hardware.num_cpus == AUTO else int(hardware.num_cpus))  # load refuses less
    with _named(name):
        experiment = load.load_experiment(config, share(machine, max(1, machine.cpus // cpus)))
        contract = contract_of(experiment.env, experiment.obs_contract)
        experiment = settle(experiment, contract, machine)
    expected, learners = forecast(experiment, contract), int(hardware.num_learners)
    kernels = spec_of(experiment.algo).multiprocessors(experiment.algo)
    on_gpu = GpuNeed(gpu_bytes(expected), kernels, learners) if gpus else None
    return Need(cpus, gpus * max(1, learners), host_bytes(expected)), on_gpu


def show_plan(plan: Plan) -> None:
    """Print the jobs of a sweep for `dry_run=true`."""
    console = Console(highlight=False)
    table = Table(title="Jobs")
    for heading in ("job", "overrides", "env runners", "env steps", "updates", "memory"):
        table.add_column(heading, justify="left" if heading == "overrides" else "right", overflow="fold")
    for num, job in enumerate(plan.jobs):
        experiment, work = job.experiment, work_to_come(job.experiment)
        expected = forecast(experiment, contract_of(experiment.env, experiment.obs_contract))
        table.add_row(
            str(num),
            Text(short(job.name)),
            str(experiment.hardware.num_env_runners),
            f"{work.env_steps:,}",
            f"{work.updates:,}",
            gibibytes(host_bytes(expected)),
        )
    if plan.jobs:
        console.print(table)
    if plan.gpu_sharing.why:
        how = "; by MPS if it can run" if plan.gpu_sharing.jobs > 1 else ""
        console.print(f"{sharing_text(plan)}{how}", soft_wrap=True, markup=False)
    if plan.stop_rule:
        console.print(plan.stop_rule.describe(), soft_wrap=True, markup=False)
    console.print(f"{headline(plan)}, into {plan.root}", soft_wrap=True, markup=False)
    console.print("Dry run: nothing was started. For all details of one job, use one value of each key without -m.")


def sharing_text(plan: Plan) -> str:
    """Return how many jobs share a GPU, and where the number is from."""
    jobs = plan.gpu_sharing.jobs
    return f"{jobs} {'job' if jobs == 1 else 'jobs'} on each GPU ({plan.gpu_sharing.why})"


def headline(plan: Plan) -> str:
    """Return how many jobs there are, and how many run at a time."""
    together = "one at a time" if plan.slots == 1 else f"{plan.slots} at a time"
    return f"{plan.description}, {together if plan.slots else f'started by hydra/launcher={plan.launcher}'}"
