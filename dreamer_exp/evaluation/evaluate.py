"""The evaluation of a policy or a baseline: all of an experiment's episodes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from dreamer_exp.algorithms.rows import ROWS
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.notices import log_notices
from dreamer_exp.evaluation import baseline_cache
from dreamer_exp.evaluation.baselines import BaselineRollouts, driven_by
from dreamer_exp.evaluation.dispatch import run_episodes
from dreamer_exp.evaluation.episodes import EvaluationEpisode, episode_list
from dreamer_exp.evaluation.rollout import Finished, MakePolicy, MakeRollouts, PolicyRollouts, Watch

NOTHING_DONE: Mapping[EvaluationEpisode, Finished] = {}


def evaluate_policy(
    experiment: Experiment,
    make_policy: MakePolicy,
    watch: Callable[[], Watch] | None = None,
    done: Mapping[EvaluationEpisode, Finished] = NOTHING_DONE,
    **options: Any,
) -> list[Finished]:
    """Return a policy's episodes, in their order.

    Args:
        experiment: gives the env, the contract and the episodes.
        make_policy: called once in each worker.
        watch: makes the recording of an episode; None records nothing.
        done: episodes that ended in an earlier call; they do not run again.
        options: of `run_episodes`: should_stop, on_finished, workers.

    Raises:
        Stopped, EvaluationFailed: as `run_episodes`.
    """
    make = partial(PolicyRollouts, experiment, make_policy, watch)
    return _run_rest(experiment, make, ROWS, done, options)


def evaluate_baseline(
    experiment: Experiment, name: str, done: Mapping[EvaluationEpisode, Finished] = NOTHING_DONE, **options: Any
) -> list[EpisodeResult]:
    """Return a baseline's results, in the order of the episodes.

    The same experiment always gives the same episodes, so they are cached (baseline_cache.py).

    Args:
        experiment: gives the env and the episodes.
        name: of the baseline.
        done: as for `evaluate_policy`.
        options: as for `evaluate_policy`.

    Raises:
        Stopped, EvaluationFailed: as `run_episodes`.
    """
    experiment = driven_by(experiment, name)
    identity = baseline_cache.identity(experiment, name)
    results = baseline_cache.load(identity)
    if results is None:
        make = partial(BaselineRollouts, experiment, name)
        results = [each.result for each in _run_rest(experiment, make, 1, done, options)]
        baseline_cache.save(identity, results)
    return results


def _run_rest(
    experiment: Experiment,
    make: MakeRollouts,
    at_once: int,
    done: Mapping[EvaluationEpisode, Finished],
    options: dict[str, Any],
) -> list[Finished]:
    """Run the episodes that are not done; return all in their order."""
    episodes = episode_list(experiment).episodes
    rest = run_episodes(
        make,
        [episode for episode in episodes if episode not in done],
        at_once=at_once,
        at_once_in_all=experiment.evaluation.max_parallel_envs,
        **options,
    )
    log_notices(notice for each in rest for notice in each.result.notices)
    finished = {**done, **{each.episode: each for each in rest}}
    return [finished[episode] for episode in episodes]
