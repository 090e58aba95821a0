"""What a run works with: its files, its counters, its terminal output and its evaluations."""

import logging
from pathlib import Path

from rich.console import Console

from dreamer_exp.algorithms.rllib.build import gpu_names
from dreamer_exp.algorithms.rllib.process_watch import ProcessWatch
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.checkpoints.initial import InitialWeights
from dreamer_exp.checkpoints.resume import point
from dreamer_exp.checkpoints.resume.point import ResumePoint
from dreamer_exp.checkpoints.store import CheckpointStore
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.plugins import distributions_used
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.scenario_sampling import drawn_scenarios, follows_failures
from dreamer_exp.evaluation.schedule import EvaluationSchedule
from dreamer_exp.formatting import printable_lines
from dreamer_exp.hardware import Machine
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.cpu_contention import ContentionWatch
from dreamer_exp.monitoring.memory import MemoryWatch
from dreamer_exp.monitoring.progress import Progress
from dreamer_exp.monitoring.record import Attempts, Record
from dreamer_exp.planning.work import planned_iterations
from dreamer_exp.rundir import provenance
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.training.scenario_failures import ScenarioFailures


class RunContext:
    """The parts of one run, shared by the loop and everything around it.

    Args:
        experiment: the resolved experiment.
        contract: the observation and action contract of its environment.
        machine: the machine that runs it.
        directory: the run's directory.
        checkpoints: the run's checkpoints.
        resume_point: the checkpoint to resume from; None for a new run.
    """

    def __init__(
        self,
        experiment: Experiment,
        contract: ObservationContract,
        machine: Machine,
        directory: RunDirectory,
        *,
        checkpoints: CheckpointStore,
        resume_point: ResumePoint | None,
    ) -> None:
        self.experiment, self.contract, self.machine = experiment, contract, machine
        self.directory, self.checkpoints, self.resume_point = directory, checkpoints, resume_point
        self.console = Console(highlight=False)
        self.shown = logging.getLevelName(experiment.run.log_level) <= logging.INFO
        self.progress = Progress(self.console, planned_iterations(experiment), self.shown, experiment.run.max_minutes)
        self.counters = Counters()
        packages = distributions_used(experiment.env.name, experiment.algo.name)
        self.provenance = {
            **provenance.collect(machine, gpu_names(), packages),
            "contract": contract.to_dict(),
            "experiment": experiment.to_dict(),
        }
        self.record = Record(directory, experiment, self.counters, self.provenance["started_utc"])
        self.evaluations = EvaluationSchedule(
            experiment, self.counters, self.record, self.progress.show_progress, self.print_line
        )
        self.spec = spec_of(experiment.algo)
        self.scenarios: ScenarioFailures | None = None
        if follows_failures(experiment.env):
            self.scenarios = ScenarioFailures(drawn_scenarios(experiment.env), experiment.env.failure_floor)
        self.initial: InitialWeights | None = None
        self.memory = MemoryWatch(experiment, contract)
        self.cpu_contention = ContentionWatch(experiment)
        self.checkpoint_writes = Attempts("a checkpoint")
        self.last_checkpoint: Path | None = None
        self.watch = ProcessWatch()  # of Ray, once it has started

    def restore(self, kept: ResumePoint) -> None:
        """Reset the counters and the evaluation schedule to a checkpoint."""
        self.counters.load_state(kept.progress)
        if self.scenarios is not None:
            self.scenarios.load_state(kept.progress.get("scenario_failures", {}))
        self.last_checkpoint = kept.checkpoint
        self.evaluations.load_state(point.evaluations(self.directory, kept))

    def print_line(self, text: str) -> None:
        """Print a line that stays on the terminal; nothing below `run.log_level=INFO`."""
        if self.shown:
            self.console.print(printable_lines(text), soft_wrap=True, markup=False)
