"""One run: its beginning, the training loop, and an end that is written whatever happens."""

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from dreamer_exp.algorithms.nonfinite import NonFiniteLoss
from dreamer_exp.algorithms.protocol import Algorithm, RecordedSteps
from dreamer_exp.algorithms.rllib.build import build_algorithm, learner_devices
from dreamer_exp.algorithms.rllib.process_watch import NoAnswer, ProcessDied
from dreamer_exp.algorithms.rllib.ray_session import ray_session
from dreamer_exp.checkpoints.initial import InitialWeights
from dreamer_exp.checkpoints.policy_file import load_policy
from dreamer_exp.checkpoints.resume import point
from dreamer_exp.checkpoints.resume.point import ResumePoint
from dreamer_exp.checkpoints.store import CheckpointStore
from dreamer_exp.config.command_words import pasteable, path_word
from dreamer_exp.config.errors import first_line
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.boundary import DoesNotReturn
from dreamer_exp.envs.contract import Fault, ObservationContract
from dreamer_exp.envs.make import imported_key
from dreamer_exp.evaluation.dispatch import EvaluationFailed
from dreamer_exp.evaluation.rollout import Stopped
from dreamer_exp.evaluation.world_model.check import draw_imagination
from dreamer_exp.evaluation.world_model.linear import MOST_INPUTS, MOST_STEPS
from dreamer_exp.hardware import Machine
from dreamer_exp.monitoring.logs import quiet
from dreamer_exp.monitoring.record import Interrupted, reason
from dreamer_exp.monitoring.summary import show_end
from dreamer_exp.planning.dry_run import warnings
from dreamer_exp.planning.forecast import forecast
from dreamer_exp.rundir import provenance
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.processes import keep_answering
from dreamer_exp.rundir.status import EVALUATING
from dreamer_exp.tracking.tracker import make_tracker
from dreamer_exp.training.context import RunContext
from dreamer_exp.training.crash_trace import crash_trace
from dreamer_exp.training.divergence.recovery import Recovery
from dreamer_exp.training.loop import count, loop, save, take_results
from dreamer_exp.training.signals import StopRequest, stop_on_signals

log = logging.getLogger(__name__)

Changes = dict[str, tuple[object, object]]  # key: value before, after


def train(
    experiment: Experiment,
    contract: ObservationContract,
    machine: Machine,
    root: Path,
    *,
    resumed: Changes | None = None,
    resume_point: ResumePoint | None = None,
    initial: InitialWeights | None = None,
    shared_ray: str | None = None,
) -> float | None:
    """Run the experiment in a directory and return its objective.

    Args:
        experiment: the resolved experiment.
        contract: the observation and action contract of its environment.
        machine: the machine that runs it.
        root: the run's directory.
        resumed: the changed keys of a run to resume in that directory; None starts a new run.
        resume_point: the checkpoint to resume from; None finds it.
        initial: the weights that a new run begins with; None for random ones.
        shared_ray: the address of the Ray that the jobs of a sweep share.

    Returns:
        The value of `run.objective` in run_summary.json's `final`; None if it is null there.

    Raises:
        SystemExit: a signal ended the run, after a checkpoint; the code is 128 plus the signal's number.
        UserError: the run cannot start.
        RunFailed: any other error. In each case status.json, run_summary.json and all rows are written.
    """
    run = _prepare(experiment, contract, machine, RunDirectory(root.resolve()), resumed, kept=resume_point)
    run.initial = initial if run.resume_point is None else None
    quiet(experiment.run.log_level)
    with stop_on_signals(lambda: _announce_stop(run), lambda: _end_at_once(run)) as stop:
        summary = _execute(run, stop, resumed or {}, shared_ray)
    if stop():
        _show_interruption(run)
        raise Interrupted(stop.exit_code, hangs_at_exit=run.watch.is_broken)
    if run.shown:
        imports = imported_key(experiment.env) is not None
        show_end(run.console, summary, run.directory.root, imports, run.record.page)
    objective = summary["final"].get(experiment.run.objective)
    return None if objective is None else float(objective)


def _prepare(
    experiment: Experiment,
    contract: ObservationContract,
    machine: Machine,
    directory: RunDirectory,
    resumed: Changes | None,
    *,
    kept: ResumePoint | None,
) -> RunContext:
    """Return the run's parts; raise UserError for a run that cannot be resumed, before any file is changed."""
    checkpoints = CheckpointStore(directory.checkpoints, experiment.run.keep_checkpoints)
    if resumed is not None and kept is None:
        kept = point.require_resume_point(checkpoints, contract.hash, experiment.run)
        point.read_provenance(directory)
    return RunContext(experiment, contract, machine, directory, checkpoints=checkpoints, resume_point=kept)


def _execute(run: RunContext, stop: StopRequest, changed: Changes, shared_ray: str | None) -> dict[str, Any]:
    """Begin the run, train, and write its end whatever happened; return the summary."""
    state, error = "failed", None
    try:
        _begin(run, changed)
        run.record.tracker = make_tracker(run.experiment, run.directory.root, run.counters.env_steps)
        with ray_session(run.experiment, shared_ray) as run.watch, run.progress:
            stop.listen()
            with crash_trace():
                _train(run, stop)
        state = "interrupted" if stop() else "finished"
    except BaseException as caught:
        if isinstance(caught, SystemExit) and not stop.is_listening():  # by Ray's handler of SIGTERM, while Ray starts
            stop.signal, state = stop.signal or signal.SIGTERM, "interrupted"
        else:
            error = reason(caught)
            is_broken = run.watch.is_broken or isinstance(caught, ProcessDied)
            raise run.record.failure(caught, hangs_at_exit=is_broken) from caught
    finally:
        stop.listen()
        summary = run.record.end(state, error)
    return summary


def _begin(run: RunContext, changed: Changes) -> None:
    """Write what is known before anything is built."""
    directory = run.directory
    if run.resume_point is None:
        _record_initial_weights(run)
        write_json(directory.provenance, run.provenance)
        provenance.save_uncommitted_changes(directory.patch)
    else:
        _begin_resumed(run, run.resume_point, changed)
    write_text(directory.experiment, run.experiment.to_yaml())
    run.record.running()
    for line in warnings(run.experiment, forecast(run.experiment, run.contract), run.machine):
        log.warning("%s", line)


def _record_initial_weights(run: RunContext) -> None:
    """Add to provenance.json and print from where the first weights are."""
    if run.initial is None:
        return
    run.provenance["init"] = run.initial.record()
    run.print_line(f"{run.directory.root.name}: weights of {run.initial}")
    for line in run.initial.warnings():
        log.warning("%s", line)


def _begin_resumed(run: RunContext, kept: ResumePoint, changed: Changes) -> None:
    """Put counters and rows back to the checkpoint, and record the resume in provenance.json."""
    directory = run.directory
    dropped = point.drop_later_rows(directory, kept)
    run.restore(kept)
    run.provenance = point.record_resume(directory, kept, dropped, changed, run.provenance)
    run.record.started_utc = run.provenance["started_utc"]
    for path in (directory.error, directory.summary, directory.page):  # of an earlier end
        path.unlink(missing_ok=True)
    note = f"; {dropped.unwanted} later rows dropped, their steps are repeated" if dropped.unwanted else ""
    run.print_line(f"{directory.root.name}: resumed from checkpoint {kept.checkpoint.name}{note}")
    if dropped.damaged:
        run.print_line(f"  damaged lines of result.jsonl and evaluation.jsonl, dropped: {dropped.damaged}")
    if missing := point.missing_rows(directory, kept):
        run.print_line(f"  iterations before the checkpoint without a row in result.jsonl: {missing}")
    for key, (before, after) in changed.items():
        run.print_line(f"  {key}: {before} -> {after}")


def _train(run: RunContext, stop: StopRequest) -> None:
    """Build the algorithm, run the loop, and save what was trained.

    Raises:
        ProcessDied: Ray or an env runner has died, after a checkpoint if the learner is in this process. A signal that
            asked all of them to end is no failure, and neither is an env runner that does not answer after it.
    """
    watch = run.watch
    run.progress.show_status("starting Ray, building the model")
    algorithm = build_algorithm(run.experiment)
    processes = algorithm.processes()
    watch.add(processes)
    algorithm.watch = watch
    algorithm.should_stop = lambda: stop() or watch.death is not None
    watch.should_stop = stop
    if run.resume_point:
        point.restore(algorithm, run.resume_point)
    elif run.initial:
        algorithm.init_weights(run.initial.read())
    _describe(run, algorithm)
    try:
        _loop_until_done(run, algorithm, algorithm.should_stop)
        watch.check()
        if run.counters.iterations:
            save(run, algorithm)
        is_predictable = _is_imagined(run, stop) and run.contract.size <= MOST_INPUTS
        recorded = algorithm.recorded_steps(MOST_STEPS) if is_predictable else None
    except (NoAnswer, DoesNotReturn) as problem:
        log.warning("%s: what was being sampled is dropped", problem)
        _save_without_env_runners(run, algorithm)
        return
    except (ProcessDied, RayError, EvaluationFailed, KeyboardInterrupt):
        _save_without_ray(run, algorithm)
        if stop():
            return
        watch.check_soon()
        raise
    finally:
        take_results(run, stop=lambda: True)
    watch.remove(processes)
    algorithm.stop()
    _imagine(run, stop, recorded)


def _save_without_ray(run: RunContext, algorithm: Algorithm) -> None:
    """Save a checkpoint after the death of Ray or an env runner if the state is in this process.

    An iteration that was cut counts with what it did until then.
    """
    if algorithm.learner_group.is_local:
        _save_without_env_runners(run, algorithm)
    else:
        algorithm.give_up_env_runners()


def _save_without_env_runners(run: RunContext, algorithm: Algorithm) -> None:
    """Save a checkpoint of what was trained, and call no env runner for it."""
    algorithm.give_up_env_runners()
    if not (run.counters.iterations or algorithm.last_iteration.updates):
        return
    try:
        if not run.counters.is_counted(algorithm.last_iteration):
            count(run, algorithm, {})
        save(run, algorithm)
    except RayError as problem:  # the death is reported, not what follows from it
        log.warning("no checkpoint could be written: %s", first_line(problem))


def _loop_until_done(run: RunContext, algorithm: Algorithm, stop: Callable[[], bool]) -> None:
    """Run the loop; after a non-finite loss, restore the last checkpoint and run it again."""
    recovery = Recovery(run, algorithm)
    while True:
        try:
            return loop(run, algorithm, stop)
        except Stopped:  # an interrupted evaluation leaves no row
            return
        except NonFiniteLoss as loss:
            take_results(run, stop, wait_for_all=True)  # of earlier weights
            recovery.recover(loss)
            _describe(run, algorithm)  # restoring rebuilds the update, possibly on another backend


def _is_imagined(run: RunContext, stop: StopRequest) -> bool:
    """Return whether there is a world model to check, and evaluations are wanted."""
    has_model = run.spec.imagination is not None
    return has_model and run.last_checkpoint is not None and bool(run.experiment.evaluation.episodes) and not stop()


def _imagine(run: RunContext, stop: StopRequest, recorded: RecordedSteps | None) -> None:
    """Draw what the trained world model imagines next to what happened in the simulator."""
    if run.last_checkpoint is None or not _is_imagined(run, stop):
        return
    run.record.enter(EVALUATING)
    run.progress.show_status("imagining")
    try:
        module = load_policy(run.last_checkpoint)
        curves = draw_imagination(module, run.experiment, run.directory.imagination, stop, recorded)
        if curves is not None:
            run.print_line(f"World model: {curves['verdict']}")
    except Stopped:
        pass  # an interrupted check leaves no figure
    except (OSError, Fault) as problem:
        log.warning("report/imagination.png could not be drawn: %s", problem)


def _describe(run: RunContext, algorithm: Algorithm) -> None:
    """Record and print on which devices and with which backend the learner really computes."""
    devices, backend, spec = learner_devices(algorithm), algorithm.backend, run.spec
    about = run.provenance["resumes"][-1] if run.resume_point else run.provenance
    about["learner_devices"] = devices
    place = f" on {', '.join(devices)}"
    if backend:
        about |= {"backend": backend.name, "why_not_fused": backend.why}
    write_json(run.directory.provenance, run.provenance)
    run.print_line(
        f"{run.directory.root.name}: {run.experiment.env.name}, "
        f"{spec.describe(run.experiment.algo, backend, place)}, "
        f"{run.experiment.hardware.num_env_runners} env runners, {run.contract.size} floats observed"
    )
    if backend and backend.why:
        run.print_line(f"not {backend.requested}: {backend.why}")


def _announce_stop(run: RunContext) -> None:
    """Confirm the first signal at once, because an update can take a while."""
    keep_answering()
    run.console.print("Stopping after this update; send the signal again to stop at once.", soft_wrap=True)


def _end_at_once(run: RunContext) -> None:
    """Write the status and show the cursor again; called on a second signal, just before the process ends."""
    write_json(run.directory.status, run.record.status("interrupted"))
    run.console.show_cursor(True)


def _show_interruption(run: RunContext) -> None:
    """Print where an interrupted run is and how to resume it."""
    root, saved = run.directory.root, run.last_checkpoint is not None
    kept = f"checkpoint at {run.counters.env_steps:,} steps" if saved else "nothing trained yet"
    lines = [f"Interrupted: {kept}. Run: {root}"]
    lines += [f"Resume: {pasteable(path_word('resume', root))}"] if saved else []
    lines += [f"Report: {run.record.page}"] if run.record.page else []
    run.console.print("\n".join(lines), soft_wrap=True, markup=False)
