"""One run from beginning to end: build, evaluate, iterate, evaluate, and leave every file whatever happens."""

import logging
import signal
from pathlib import Path
from typing import Any

from rich.console import Console

from dreamer_exp.algorithms.dreamerv3.algorithm import PublishedDreamerV3
from dreamer_exp.algorithms.nonfinite import NonFiniteLoss, NonFiniteUpdate
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm, gpu_names, learner_devices
from dreamer_exp.algorithms.rllib.ray_session import ray_session
from dreamer_exp.checkpoints.policy_file import load_policy
from dreamer_exp.checkpoints.resume import point
from dreamer_exp.checkpoints.resume.point import ResumePoint
from dreamer_exp.checkpoints.store import CheckpointStore
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.evaluation.rollout import Stopped
from dreamer_exp.evaluation.schedule import EvaluationSchedule
from dreamer_exp.evaluation.world_model.check import draw_imagination
from dreamer_exp.hardware import Machine
from dreamer_exp.monitoring import summary as report
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.cpu_contention import ContentionWatch
from dreamer_exp.monitoring.logs import quiet
from dreamer_exp.monitoring.memory import MemoryWatch
from dreamer_exp.monitoring.metrics_row import blank_nonfinite, make_row
from dreamer_exp.monitoring.progress import Progress
from dreamer_exp.monitoring.record import Attempts, Record, reason
from dreamer_exp.planning.dry_run import computing, warnings
from dreamer_exp.planning.forecast import forecast
from dreamer_exp.rundir import provenance
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.tracking.tracker import make_tracker
from dreamer_exp.training.divergence.report import write_diagnostics
from dreamer_exp.training.signals import StopRequest, stop_on_signals

log = logging.getLogger(__name__)

Changes = dict[str, tuple[object, object]]  # key: value before, after


class Diverged(Exception):
    """Losses became non-finite twice, the second time with other batches from the last good checkpoint on."""


def train(
    experiment: Experiment,
    contract: ObservationContract,
    machine: Machine,
    root: Path,
    *,
    resumed: Changes | None = None,
    shared_ray: str | None = None,
) -> float | None:
    """Runs the experiment in this directory and returns its objective (`run.objective`, from the summary's `final`).

    Args:
        experiment: what to run.
        contract: of its observations and actions.
        machine: this one.
        root: the run's directory.
        resumed: not None: goes on with the run in that directory; the keys that have changed since.
        shared_ray: address of a sweep's own Ray on this machine.

    Raises:
        SystemExit: a signal ended it: 128 plus its number, after a checkpoint.
        UserError: the run cannot begin.
        RunFailed: anything else. In each case status.json, run_summary.json and all rows are there.
    """
    run = Run(experiment, contract, machine, RunDirectory(root.resolve()), resumed=resumed, shared_ray=shared_ray)
    return run.live()


class Run:
    """The state of one run between its iterations."""

    def __init__(
        self,
        experiment: Experiment,
        contract: ObservationContract,
        machine: Machine,
        directory: RunDirectory,
        *,
        resumed: Changes | None,
        shared_ray: str | None,
    ) -> None:
        self.experiment, self.contract, self.machine, self.directory = experiment, contract, machine, directory
        self.counters = Counters()
        self.checkpoints = CheckpointStore(directory.checkpoints, experiment.run.keep_checkpoints)
        self.kept: ResumePoint | None = None
        if resumed is not None:
            self.kept = point.newest(self.checkpoints, contract.hash, experiment.run.train_iterations)
            point.beginning(directory)  # before anything is touched
        self.changed = resumed or {}
        self.shared_ray = shared_ray
        self.console = Console(highlight=False)
        self.shown = logging.getLevelName(experiment.run.log_level) <= logging.INFO
        self.progress = Progress(self.console, experiment.run.train_iterations, self.shown)
        self.provenance = {**provenance.collect(machine, gpu_names()), "contract": contract.to_dict()}
        self.record = Record(directory, experiment, self.counters, self.provenance["started_utc"])
        self.examiner = EvaluationSchedule(experiment, self.counters, self.record, self.progress.say, self.say_line)
        self.memory = MemoryWatch(experiment, contract)
        self.crowd = ContentionWatch(experiment)
        self.write_checkpoint = Attempts("a checkpoint")
        self.last_checkpoint: Path | None = None
        self.recovered = False

    def live(self) -> float | None:
        """The whole life: begin, work, and an end in every case."""
        quiet(self.experiment.run.log_level)
        with stop_on_signals(self.say_stopping, self.end_at_once) as stop:
            summary = self.work_and_end(stop)
        if stop():
            kept = f"checkpoint at {self.counters.env_steps:,} steps" if self.last_checkpoint else "nothing trained yet"
            lines = [f"Interrupted: {kept}. Run: {self.directory.root}"]
            lines += [f"Go on: python -m dreamer_exp resume={self.directory.root}"] if self.last_checkpoint else []
            self.console.print("\n".join(lines), soft_wrap=True, markup=False)
            raise SystemExit(stop.exit_code)
        if self.shown:
            report.show_end(self.console, summary, self.directory.root)
        return self.objective(summary)

    def work_and_end(self, stop: StopRequest) -> dict[str, Any]:
        """Does the work, and writes the end whatever came of it; returns the summary."""
        state, error = "failed", None
        try:
            self.begin()
            self.record.tracker = make_tracker(self.experiment, self.directory.root)
            with ray_session(self.experiment, self.shared_ray), self.progress:
                stop.listen()
                self.work(stop)
            state = "interrupted" if stop() else "finished"
        except SystemExit:  # Ray's own answer to SIGTERM while it starts
            stop.signal, state = stop.signal or signal.SIGTERM, "interrupted"
        except BaseException as caught:
            error = reason(caught)
            raise self.record.failure(caught) from caught
        finally:
            stop.listen()
            summary = self.record.end(state, error)
        return summary

    def say_stopping(self) -> None:
        """A first signal: said at once, as an update can take a while."""
        self.console.print("Stopping after this update; once more stops at once.", soft_wrap=True)

    def end_at_once(self) -> None:
        """A second signal: only the state is written, and the terminal given back."""
        write_json(self.directory.status, self.record.status("interrupted"))
        self.console.show_cursor(True)

    def begin(self) -> None:
        """Writes what is known before anything is built."""
        if self.kept:
            dropped = point.cut_back(self.directory, self.kept)
            self.go_back_to(self.kept)
            self.provenance = point.note(self.directory, self.kept, dropped, self.changed, self.provenance)
            self.record.started_utc = self.provenance["started_utc"]
            self.directory.error.unlink(missing_ok=True)  # of an end that is none any more
            self.say_resumed(self.kept, dropped)
        else:
            write_json(self.directory.provenance, self.provenance)
            provenance.save_uncommitted_changes(self.directory.patch)
        write_text(self.directory.experiment, self.experiment.to_yaml())
        self.record.running()
        for line in warnings(self.experiment, forecast(self.experiment, self.contract), self.machine):
            log.warning("%s", line)

    def go_back_to(self, kept: ResumePoint) -> None:
        """Counters and evaluations as they were at the checkpoint."""
        self.counters.take_up(kept.progress)
        self.last_checkpoint = kept.checkpoint
        self.examiner.take_up(point.evaluated(self.directory, kept))

    def work(self, stop: StopRequest) -> None:
        """Everything between the first and the last file."""
        self.progress.say("starting Ray, building the model")
        algorithm = build_algorithm(self.experiment)
        algorithm.should_stop = stop
        if self.kept:
            point.take_up(algorithm, self.kept)
        self.introduce(algorithm)
        try:
            if not self.kept:
                self.examiner.examine_baselines(stop)
                self.evaluate(algorithm, stop)
            while self.counters.iterations < self.experiment.run.train_iterations and not stop():
                self.iterate(algorithm, stop)
            self.evaluate(algorithm, stop)
        except Stopped:
            pass  # an evaluation cut short by a signal leaves no row; what is trained is kept below
        if self.counters.iterations:
            self.checkpoint(algorithm)
        algorithm.stop()
        self.imagine(stop)

    def imagine(self, stop: StopRequest) -> None:
        """What the trained world model foresees, drawn beside what then happened."""
        if self.last_checkpoint is None or not self.experiment.evaluation.episodes or stop():
            return
        self.progress.say("imagining")
        try:
            draw_imagination(load_policy(self.last_checkpoint), self.experiment, self.directory.imagination, stop)
        except Stopped:
            pass  # a figure that the signal cut short
        except OSError as problem:
            log.warning("report/imagination.png could not be drawn: %s", problem)

    def introduce(self, algorithm: BaseDreamerV3) -> None:
        """Says where the run is, on what its learner really sits, and how it really computes."""
        devices, (kernels, why) = learner_devices(algorithm), ("", "")
        hardware, algo = self.experiment.hardware, self.experiment.algo
        about = self.provenance if self.kept is None else self.provenance["resumes"][-1]
        about["learner_devices"] = devices
        if isinstance(algorithm, PublishedDreamerV3):
            kernels, why = algorithm.rung
            about |= {"kernels": kernels, "why_not_fused": why}
        write_json(self.directory.provenance, self.provenance)
        self.say_line(
            f"{self.directory.root.name}: {self.experiment.env.name}, {algo.learner} learner on {', '.join(devices)}"
            f"{computing(algo, kernels)}, size {algo.model_size}, {hardware.num_env_runners} env runners, "
            f"{self.contract.size} floats observed"
        )
        if why:
            self.say_line(f"not fused: {why}")

    def say_resumed(self, kept: ResumePoint, dropped: int) -> None:
        """From where the run goes on, and with which changes."""
        again = f"; {dropped} later rows dropped, their steps are done again" if dropped else ""
        self.say_line(f"{self.directory.root.name}: goes on from checkpoint {kept.checkpoint.name}{again}")
        for key, (before, after) in self.changed.items():
            self.say_line(f"  {key}: {before} -> {after}")

    def say_line(self, text: str) -> None:
        """A line that stays."""
        if self.shown:
            self.console.print(text, soft_wrap=True, markup=False)

    def iterate(self, algorithm: BaseDreamerV3, stop: StopRequest) -> None:
        """One iteration, its row, and what falls due after it."""
        try:
            result = algorithm.train()
            self.counters.add(algorithm.last_iteration)
            if faults := [episode.fault for episode in algorithm.last_iteration.episodes if episode.fault]:
                log.warning("environment: %s%s", faults[-1], f" (the last of {len(faults)})" if faults[1:] else "")
            row = self.row(algorithm, result)
            self.take_down(row)
        except NonFiniteLoss as found:
            self.recover(algorithm, found)
            return
        if self.counters.iterations % self.experiment.run.checkpoint_every == 0:
            self.checkpoint(algorithm)
        if self.examiner.is_due():
            self.evaluate(algorithm, stop)

    def take_down(self, row: dict[str, Any]) -> None:
        """Writes and shows a row; raises NonFiniteLoss for one with a figure that is none."""
        broken = blank_nonfinite(row)
        self.record.row(row)
        self.progress.show(row)
        if line := self.memory.look(row) or self.crowd.look(row):
            log.warning("%s", line)
        if broken:
            raise NonFiniteLoss(f"not finite after {self.counters.updates} updates: {', '.join(broken)}")

    def recover(self, algorithm: BaseDreamerV3, found: NonFiniteLoss) -> None:
        """Back to the last good checkpoint, once, with other batches from there on.

        Raises:
            Diverged: it happened before, or there is no checkpoint.
        """
        kept = point.newest_or_none(self.checkpoints)
        self.diagnose(algorithm, found, kept)
        if self.recovered or kept is None:
            raise Diverged(f"{found}{'' if kept else '; there was no checkpoint to go back to'}") from found
        self.recovered = True
        log.warning("%s; back to checkpoint %s, once, with other batches", found, kept.checkpoint.name)
        point.cut_back(self.directory, kept)
        self.go_back_to(kept)
        point.take_up(algorithm, kept)
        algorithm.reseed_replay(1)
        self.introduce(algorithm)  # the learner made its update anew, and may be on another rung

    def diagnose(self, algorithm: BaseDreamerV3, found: NonFiniteLoss, kept: ResumePoint | None) -> None:
        """Keeps what the broken update is understood by, as far as the learner knows it."""
        told = reason(found)
        if not isinstance(told, NonFiniteUpdate):
            return
        try:
            checkpoint = kept.checkpoint if kept else None
            folder = write_diagnostics(self.directory.root, told, algorithm, self.contract, checkpoint)
        except OSError as problem:
            log.warning("diagnostics/ could not be written: %s", problem)
        else:
            log.warning("what it is understood by lies in %s", folder)

    def row(self, algorithm: BaseDreamerV3, result: dict[str, Any]) -> dict[str, Any]:
        """The metrics row of the iteration just done."""
        steps = algorithm.replay_steps
        held = {"steps": steps, "bytes": steps * forecast(self.experiment, self.contract).bytes_per_step}
        learner = result.get("learners", {}).get("default_policy", {})
        batch = self.experiment.algo.batch_size_B * self.experiment.algo.batch_length_T
        return make_row(self.counters, algorithm.last_iteration, learner, batch, held)

    def evaluate(self, algorithm: BaseDreamerV3, stop: StopRequest) -> None:
        """The policy as it is now; the checkpoint of the best one so far is marked."""
        if self.examiner.examine(algorithm, stop) and (checkpoint := self.checkpoint(algorithm)) is not None:
            self.checkpoints.mark_best(checkpoint)

    def checkpoint(self, algorithm: BaseDreamerV3) -> Path | None:
        """Writes a checkpoint, unless there is one of this very step; None where the disk didn't take it.

        Episodes under way are cut, so that a resumed run goes on exactly as this one does.
        """
        name = f"{self.counters.env_steps:09d}"
        if self.last_checkpoint is None or self.last_checkpoint.name != name:
            self.counters.episodes_cut += algorithm.reset_episodes(self.counters.env_steps)
            progress = {**self.counters.to_dict(), "updates_owed": algorithm.updates_owed}
            if not self.write_checkpoint(lambda: self.save(algorithm, progress)):
                return None
        return self.last_checkpoint

    def save(self, algorithm: BaseDreamerV3, progress: dict[str, Any]) -> None:
        """One try at a checkpoint; raises OSError."""
        self.last_checkpoint = self.checkpoints.save(algorithm, progress, self.contract.hash)

    def objective(self, summary: dict[str, Any]) -> float | None:
        """The figure that a sweeper optimises."""
        value = summary["final"].get(self.experiment.run.objective)
        return float(value) if value is not None else None
