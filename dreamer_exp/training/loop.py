"""The training loop: sample, update, log, save and evaluate, until the run ends (planning/ends.py).

Signals (signals.py), recovery from divergence (divergence/recovery.py) and the beginning and end of a run (run.py) are
handled around the loop.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamer_exp.algorithms.nonfinite import NonFiniteLoss
from dreamer_exp.algorithms.protocol import Algorithm, Iteration
from dreamer_exp.checkpoints.policy_interface import policy_interface
from dreamer_exp.envs.notices import log_notices
from dreamer_exp.monitoring.metrics_row import blank_nonfinite, make_row
from dreamer_exp.planning.ends import end_reason
from dreamer_exp.rundir.status import TRAINING
from dreamer_exp.training.clocks import Every
from dreamer_exp.training.context import RunContext

log = logging.getLogger(__name__)


def loop(run: RunContext, algorithm: Algorithm, stop: Callable[[], bool]) -> None:
    """Train until `run.train_iterations`, a limit or a goal ends the run, or `stop` returns True.

    The loop continues from `run.counters`, so it can be called again after a resume or a recovery.

    Raises:
        NonFiniteLoss: a loss or a gradient norm is NaN or infinite.
        Stopped: `stop` returned True during an evaluation.
    """
    counters, evaluations = run.counters, run.evaluations
    should_save = Every(run.experiment.run.checkpoint_every)
    should_evaluate = evaluations.is_due

    evaluations.evaluate_baselines(algorithm, stop)
    if counters.iterations == 0 or should_evaluate():  # of a resume, if the run ended during an evaluation
        evaluate(run, algorithm, stop)

    draw_by_failures(run, algorithm)

    while (ended := reason_to_end(run)) is None and not stop():
        # Sample a fragment from every environment, then make the updates that the training ratio owes for it
        # (`training_step` of the algorithm).
        run.record.enter(TRAINING)
        metrics = algorithm.train()
        row, nonfinite = count(run, algorithm, metrics)
        draw_by_failures(run, algorithm)
        run.progress.show(row, counters.prefill_env_steps, evaluations.meanwhile)
        warn_about_resources(run, row)
        if nonfinite:
            raise NonFiniteLoss(f"not finite after {counters.updates} updates: {', '.join(nonfinite)}")

        if should_save(counters.iterations):
            save(run, algorithm)

        take_results(run, stop)
        if should_evaluate():
            evaluate(run, algorithm, stop)

    run.record.end_reason = ended
    evaluate(run, algorithm, stop)
    take_results(run, stop, wait_for_all=True)


def reason_to_end(run: RunContext) -> str | None:
    """Return which key ends training now, and at which value; None while it goes on."""
    progress = {
        "iteration": run.counters.iterations,
        "env_steps": run.counters.env_steps,
        "seconds": run.counters.seconds,
    }
    return end_reason(run.experiment.run, progress, run.evaluations.rows)


def count(run: RunContext, algorithm: Algorithm, metrics: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Add the last iteration to the totals and write its row; return the row and the names of non-finite values.

    A row with a value that is not finite is written too, with null in its place.
    """
    run.counters.add(algorithm.last_iteration)
    if run.scenarios is not None:
        run.scenarios.add(algorithm.last_iteration.episodes)
    warn_about_environments(algorithm.last_iteration)
    row = metrics_row(run, algorithm, metrics) | ({} if run.scenarios is None else run.scenarios.row())
    nonfinite = blank_nonfinite(row)
    run.record.row(row)
    return row, nonfinite


def draw_by_failures(run: RunContext, algorithm: Algorithm) -> None:
    """Draw the scenarios of the next episodes by the failures so far, under `env.failure_floor`."""
    if run.scenarios is not None:
        algorithm.set_scenario_weights(run.scenarios.weights())


def evaluate(run: RunContext, algorithm: Algorithm, stop: Callable[[], bool]) -> None:
    """Evaluate the policy; if it is the best one so far, save a checkpoint and point `best` at it.

    In the background, the checkpoint is saved first: later the weights are others. At most one evaluation of the
    policy runs; the next one waits for it.
    """
    evaluations = run.evaluations
    take_results(run, stop, wait_for_all=evaluations.evaluates_policy)
    if not evaluations.is_wanted(stop):
        return
    if evaluations.in_background(algorithm):
        evaluations.start(algorithm, stop, save(run, algorithm) if run.counters.iterations else None)
    elif evaluations.evaluate(algorithm, stop) and (checkpoint := save(run, algorithm)) is not None:
        mark_best(run, checkpoint)


def take_results(run: RunContext, stop: Callable[[], bool], wait_for_all: bool = False) -> None:
    """Write the rows of evaluations that ended in the background, and point `best` at the best one's checkpoint."""
    for checkpoint in run.evaluations.take_results(stop, wait_for_all):
        mark_best(run, checkpoint)


def mark_best(run: RunContext, checkpoint: Path) -> None:
    """Point `best` at a checkpoint; a full disk costs the pointer, not the run."""
    run.checkpoint_writes(lambda: run.checkpoints.mark_best(checkpoint))


def save(run: RunContext, algorithm: Algorithm) -> Path | None:
    """Write a checkpoint unless there is one of this step; return it, or None if the disk refused it.

    Running episodes are cut first, so that a resumed run continues exactly like this one.
    """
    counters, last = run.counters, run.last_checkpoint
    if last is not None and last.name == f"{counters.env_steps:09d}":
        return last

    counters.episodes_cut += algorithm.reset_episodes(counters.env_steps)
    progress = {**counters.to_dict(), "updates_owed": algorithm.updates_owed}
    if run.scenarios is not None:
        progress["scenario_failures"] = run.scenarios.to_dict()

    def write() -> None:
        run.last_checkpoint = run.checkpoints.save(
            algorithm,
            run.spec.name,
            progress,
            run.contract.hash,
            policy_interface(run.experiment, run.contract),
            in_evaluation=run.evaluations.checkpoint_in_evaluation,
        )

    return run.last_checkpoint if run.checkpoint_writes(write) else None


def metrics_row(run: RunContext, algorithm: Algorithm, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the iteration that was just counted."""
    steps, spec, algo = algorithm.replay_steps, run.spec, run.experiment.algo
    memory = spec.memory(run.experiment, run.contract)
    replay = {"steps": steps, "bytes": steps * memory.bytes_per_step} if memory.replay_capacity else None
    learner = metrics.get("learners", {}).get("default_policy", {})
    return make_row(
        run.counters,
        algorithm.last_iteration,
        learner,
        spec=spec,
        steps_per_update=spec.work(algo).steps,
        replay=replay,
    )


def warn_about_environments(iteration: Iteration) -> None:
    """Log the last environment fault of the iteration and how many there were, and each notice once."""
    faults = [episode.fault for episode in iteration.episodes if episode.fault]
    if faults:
        log.warning("environment: %s%s", faults[-1], f" (the last of {len(faults)})" if faults[1:] else "")
    log_notices(notice for episode in iteration.episodes for notice in episode.notices)


def warn_about_resources(run: RunContext, row: dict[str, Any]) -> None:
    """Log a warning if the memory will not last or other programs slow the learner down."""
    if warning := run.memory.check(row) or run.cpu_contention.check(row):
        log.warning("%s", warning)
