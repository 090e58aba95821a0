"""The evaluation's episodes driven by the baselines, in the raw environment."""

import math
from collections.abc import Callable

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import make_baseline
from dreamer_exp.envs.episode import FAULT, EpisodeResult, result_of
from dreamer_exp.envs.make import make_raw_env
from dreamer_exp.evaluation import baseline_cache
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.evaluation.recorder import EpisodeRecorder
from dreamer_exp.evaluation.rollout import Stopped, never, seeded_global_generators


def evaluate_baseline(
    experiment: Experiment, name: str, should_stop: Callable[[], bool] = never
) -> list[EpisodeResult]:
    """Return a baseline's results in the evaluation's episodes, in their order.

    The same experiment always gives the same episodes, so they are cached (baseline_cache.py).

    Raises:
        Stopped: `should_stop` returned True.
    """
    identity = baseline_cache.identity(experiment, name)
    results = baseline_cache.load(identity)
    if results is None:
        with seeded_global_generators(experiment.evaluation.seed):
            results = _run_episodes(experiment, name, should_stop)
        baseline_cache.save(identity, results)
    return results


def _run_episodes(experiment: Experiment, name: str, should_stop: Callable[[], bool]) -> list[EpisodeResult]:
    env = make_raw_env(experiment.env)
    results = []
    for episode in episode_list(experiment).episodes:
        observation, info = episode.begin(env)
        recorder = EpisodeRecorder(env)
        baseline = make_baseline(name, experiment.env, env, episode.seed)
        baseline.reset()
        total, length, done = 0.0, 0, False
        while not done:
            if should_stop():
                raise Stopped
            observation, reward, terminated, truncated, info = env.step(baseline.act(observation))
            if not math.isfinite(reward):
                reward, truncated, info = 0.0, True, {"outcome": FAULT}
            total, length, done = total + float(reward), length + 1, terminated or truncated
        results.append(recorder.complete(result_of(info, total, length)))
    env.close()
    return results
