"""One run from beginning to end: build, evaluate, iterate, evaluate, and leave every file whatever happens."""

import logging
import os
import signal
import socket
import time
import traceback
from pathlib import Path
from typing import Any

from rich.console import Console

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.dreamer.algorithm import LoopedDreamerV3, NonFiniteLoss
from dreamer_exp.dreamer.build import build_algorithm, learner_devices
from dreamer_exp.dreamer.cluster import ray_session
from dreamer_exp.dreamer.policy import make_policy
from dreamer_exp.envs.baselines import split_applicable
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.hardware import Machine
from dreamer_exp.runs import provenance, report
from dreamer_exp.runs.checkpoints import CheckpointStore
from dreamer_exp.runs.directory import RunDirectory, append_row, write_json, write_text
from dreamer_exp.runs.dry_run import computing, warnings
from dreamer_exp.runs.evaluation import Stopped, evaluate_baseline, evaluate_policy, evaluation_row, evaluation_seeds
from dreamer_exp.runs.forecast import forecast
from dreamer_exp.runs.logs import quiet
from dreamer_exp.runs.metrics import Counters, blank_nonfinite, make_row
from dreamer_exp.runs.progress import Progress
from dreamer_exp.runs.stopping import StopRequest, stop_on_signals
from dreamer_exp.runs.tracking import NoTracker, Tracker, make_tracker

STATUS_EVERY_S = 2.0

log = logging.getLogger(__name__)


class RunFailed(Exception):
    """The run failed, is recorded as failed, and its traceback lies in its error.txt."""


def train(experiment: Experiment, contract: ObservationContract, machine: Machine, root: Path) -> float | None:
    """Runs the experiment in this directory and returns its objective (`run.objective`, from the summary's `final`).

    Raises:
        SystemExit: a signal ended it: 130 or 143, after a checkpoint.
        UserError: the run cannot begin.
        RunFailed: anything else. In each case status.json, run_summary.json and all rows are there.
    """
    return Run(experiment, contract, machine, RunDirectory(root.resolve())).live()


class Run:
    """The state of one run between its iterations."""

    def __init__(
        self, experiment: Experiment, contract: ObservationContract, machine: Machine, directory: RunDirectory
    ) -> None:
        self.experiment, self.contract, self.machine, self.directory = experiment, contract, machine, directory
        self.counters = Counters()
        self.checkpoints = CheckpointStore(directory.checkpoints, experiment.run.keep_checkpoints)
        self.tracker: Tracker = NoTracker()
        self.console = Console(highlight=False)
        self.shown = logging.getLevelName(experiment.run.log_level) <= logging.INFO
        self.progress = Progress(self.console, experiment.run.train_iterations, self.shown)
        self.provenance = {**provenance.collect(machine), "contract": contract.to_dict()}
        self.started = self.provenance["started_utc"]
        self.best: tuple[float, float] | None = None
        self.last_checkpoint: Path | None = None
        self.last_evaluation = 0  # env steps
        self.last_status = 0.0  # monotonic seconds

    def live(self) -> float | None:
        """The whole life: begin, work, and an end in every case."""
        quiet(self.experiment.run.log_level)
        with stop_on_signals(self.say_stopping, self.end_at_once) as stop:
            summary = self.work_and_end(stop)
        if stop():
            kept = f"checkpoint at {self.counters.env_steps:,} steps" if self.last_checkpoint else "nothing trained yet"
            self.console.print(f"Interrupted: {kept}. Run: {self.directory.root}", soft_wrap=True, markup=False)
            raise SystemExit(stop.exit_code)
        if self.shown:
            report.show_end(self.console, summary, self.directory.root)
        return self.objective(summary)

    def work_and_end(self, stop: StopRequest) -> dict[str, Any]:
        """Does the work, and writes the end whatever came of it; returns the summary."""
        state, error = "failed", None
        try:
            self.begin()
            self.tracker = make_tracker(self.experiment, self.directory.root)
            with ray_session(self.experiment), self.progress:
                stop.listen()
                self.work(stop)
            state = "interrupted" if stop() else "finished"
        except SystemExit:  # Ray's own answer to SIGTERM while it starts
            stop.signal, state = stop.signal or signal.SIGTERM, "interrupted"
        except BaseException as caught:
            error = reason(caught)
            raise self.failure(caught) from caught
        finally:
            stop.listen()
            summary = self.end(state, error)
        return summary

    def say_stopping(self) -> None:
        """A first signal: said at once, as an update can take a while."""
        self.console.print("Stopping after this update; once more stops at once.", soft_wrap=True)

    def end_at_once(self) -> None:
        """A second signal: only the state is written, and the terminal given back."""
        write_json(self.directory.status, self.status("interrupted"))
        self.console.show_cursor(True)

    def begin(self) -> None:
        """Writes what is known before anything is built."""
        write_text(self.directory.experiment, self.experiment.to_yaml())
        write_json(self.directory.provenance, self.provenance)
        write_json(self.directory.status, self.status("running"))
        for line in warnings(self.experiment, forecast(self.experiment, self.contract), self.machine):
            log.warning("%s", line)

    def work(self, stop: StopRequest) -> None:
        """Everything between the first and the last file."""
        self.progress.say("starting Ray, building the model")
        algorithm = build_algorithm(self.experiment)
        algorithm.should_stop = stop
        self.introduce(algorithm)
        try:
            self.evaluate_baselines(stop)
            self.evaluate(algorithm, stop)
            while self.counters.iterations < self.experiment.run.train_iterations and not stop():
                self.iterate(algorithm, stop)
            self.evaluate(algorithm, stop)
        except Stopped:
            pass  # an evaluation cut short by a signal leaves no row; what is trained is kept below
        if self.counters.iterations:
            self.checkpoint(algorithm)
        algorithm.stop()

    def introduce(self, algorithm: LoopedDreamerV3) -> None:
        """Says where the run is, and on what its learner really sits."""
        devices = ", ".join(learner_devices(algorithm))
        self.provenance["learner_devices"] = devices.split(", ")
        write_json(self.directory.provenance, self.provenance)
        hardware, algo = self.experiment.hardware, self.experiment.algo
        self.say_line(
            f"{self.directory.root.name}: {self.experiment.env.name}, {algo.learner} learner on {devices}"
            f"{computing(self.experiment)}, size {algo.model_size}, {hardware.num_env_runners} env runners, "
            f"{self.contract.size} floats observed"
        )

    def say_line(self, text: str) -> None:
        """A line that stays."""
        if self.shown:
            self.console.print(text, soft_wrap=True, markup=False)

    def iterate(self, algorithm: LoopedDreamerV3, stop: StopRequest) -> None:
        """One iteration, its row, and what falls due after it."""
        result = algorithm.train()
        self.counters.add(algorithm.last_iteration)
        row = self.row(algorithm, result)
        broken = blank_nonfinite(row)
        append_row(self.directory.result, row)
        self.tracker.log(row, self.counters.env_steps)
        self.progress.show(row)
        if broken:
            raise NonFiniteLoss(f"not finite after {self.counters.updates} updates: {', '.join(broken)}")
        self.refresh_status()
        if self.counters.iterations % self.experiment.run.checkpoint_every == 0:
            self.checkpoint(algorithm)
        every = self.experiment.evaluation.every_env_steps
        if every and self.counters.env_steps // every > self.last_evaluation // every:
            self.evaluate(algorithm, stop)

    def row(self, algorithm: LoopedDreamerV3, result: dict[str, Any]) -> dict[str, Any]:
        """The metrics row of the iteration just done."""
        steps = algorithm.replay_steps
        held = {"steps": steps, "bytes": steps * forecast(self.experiment, self.contract).bytes_per_step}
        learner = result.get("learners", {}).get("default_policy", {})
        batch = self.experiment.algo.batch_size_B * self.experiment.algo.batch_length_T
        return make_row(self.counters, algorithm.last_iteration, learner, batch, held)

    def evaluate(self, algorithm: LoopedDreamerV3, stop: StopRequest) -> None:
        """The policy as it is now on the fixed seeds; marks the best checkpoint. Nothing twice at one step."""
        steps = self.counters.env_steps
        if not self.experiment.evaluation.episodes or stop() or (steps and steps == self.last_evaluation):
            return
        self.progress.say(f"evaluating the policy after {steps:,} steps")
        module = algorithm.module_to_evaluate()
        results = evaluate_policy(self.experiment, lambda n, seed: make_policy(module, n, seed), stop)
        row = self.record_evaluation(report.LEARNER, results)
        self.last_evaluation = steps
        score = report.score(row)
        if steps and (self.best is None or score > self.best):
            self.best = score
            self.checkpoints.mark_best(self.checkpoint(algorithm))

    def evaluate_baselines(self, stop: StopRequest) -> None:
        """The baselines once, on the same seeds."""
        evaluation = self.experiment.evaluation
        possible, impossible = split_applicable(evaluation.baselines, self.experiment.env)
        if impossible and evaluation.episodes:
            self.say_line(f"not for env={self.experiment.env.name}: baseline {', '.join(impossible)}")
        for name in possible if evaluation.episodes else []:
            self.progress.say(f"evaluating the baseline {name}")
            self.record_evaluation(name, evaluate_baseline(self.experiment, name, stop))

    def record_evaluation(self, policy: str, results: list[Any]) -> dict[str, Any]:
        """Appends the evaluation's row; the learner's figures go to the tracker too."""
        seeds = evaluation_seeds(self.experiment)
        row = evaluation_row(policy, self.counters.env_steps, self.counters.updates, results, seeds)
        append_row(self.directory.evaluation, row)
        figures = report.without_outcomes(row)
        self.tracker.log(
            {f"evaluation/{policy}/{name}": value for name, value in figures.items()}, self.counters.env_steps
        )
        return row

    def checkpoint(self, algorithm: LoopedDreamerV3) -> Path:
        """Writes a checkpoint, unless there is one of this very step."""
        name = f"{self.counters.env_steps:09d}"
        if self.last_checkpoint is None or self.last_checkpoint.name != name:
            totals = {
                "iteration": self.counters.iterations,
                "env_steps": self.counters.env_steps,
                "updates": self.counters.updates,
                "episodes": self.counters.episodes,
            }
            self.last_checkpoint = self.checkpoints.save(algorithm, totals, self.contract.hash)
        return self.last_checkpoint

    def status(self, state: str, error: BaseException | None = None) -> dict[str, Any]:
        """The tree of status.json."""
        return {
            "state": state,
            "started_utc": self.started,
            "updated_utc": provenance.now_utc(),
            "wall_time_s": round(time.perf_counter() - self.counters.started, 3),
            "iteration": self.counters.iterations,
            "env_steps": self.counters.env_steps,
            "updates": self.counters.updates,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "error": {"type": type(error).__name__, "message": first_line(error)} if error else None,
        }

    def refresh_status(self) -> None:
        """Rewrites status.json, at most every few seconds."""
        if time.monotonic() - self.last_status >= STATUS_EVERY_S:
            write_json(self.directory.status, self.status("running"))
            self.last_status = time.monotonic()

    def failure(self, caught: BaseException) -> BaseException:
        """What to raise for what was caught: a user's mistake as it is, the rest as RunFailed, its traceback kept."""
        if isinstance(caught, UserError) or not isinstance(caught, Exception):
            return caught
        write_text(self.directory.error, "".join(traceback.format_exception(caught)))
        told = reason(caught)
        return RunFailed(f"{type(told).__name__}: {first_line(told)} (traceback: {self.directory.error})")

    def end(self, state: str, error: BaseException | None) -> dict[str, Any]:
        """Writes the summary and the last status, closes the tracker, draws the figure."""
        status = self.status(state, error)
        summary = report.summarise(self.directory, status, self.experiment.fingerprint())
        write_json(self.directory.status, status)
        final = {name: value for name, value in summary["final"].items() if isinstance(value, (int, float))}
        self.tracker.finish({"state": state, **final}, failed=state == "failed")
        try:
            report.draw_learning_curve(self.directory)
        except (OSError, ValueError) as problem:  # a figure is no reason to lose a run; its figures are in the rows
            log.warning("report/learning_curve.png could not be drawn: %s", problem)
        return summary

    def objective(self, summary: dict[str, Any]) -> float | None:
        """The figure that a sweeper optimises."""
        value = summary["final"].get(self.experiment.run.objective)
        return float(value) if value is not None else None


def reason(caught: BaseException) -> BaseException:
    """The error itself, where Ray brought it from another process (RayTaskError.cause)."""
    cause = getattr(caught, "cause", None)
    return cause if isinstance(cause, BaseException) else caught


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).strip().splitlines()), "without a message")
