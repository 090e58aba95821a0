"""Episodes on fixed seeds: the deterministic policy and the baselines, judged on the same ones."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import make_baseline
from dreamer_exp.envs.episode import COLLISIONS, SUCCESS, TIMEOUT, EpisodeResult, result_of
from dreamer_exp.envs.make import evaluation_options, make_env, make_raw_env
from dreamer_exp.runs.metrics import mean

MAX_PARALLEL = 32  # environments stepped side by side by one batch of the policy


class Stopped(Exception):
    """The evaluation was interrupted."""


class BatchPolicy(Protocol):
    """What acts in several environments at once."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Actions of a batch of observations."""


def never() -> bool:
    """Nothing asks to stop."""
    return False


def evaluate_policy(
    experiment: Experiment,
    make_policy: Callable[[int, int], BatchPolicy],
    should_stop: Callable[[], bool] = never,
) -> list[EpisodeResult]:
    """The policy's episodes on the evaluation's seeds, in the order of the seeds.

    Args:
        experiment: which env, contract and seeds.
        make_policy: builds the policy from a number of environments and a seed.
        should_stop: asked at every step.

    Raises:
        Stopped: `should_stop` said so.
    """
    seeds = evaluation_seeds(experiment)
    results: list[EpisodeResult] = []
    for start in range(0, len(seeds), MAX_PARALLEL):
        part = seeds[start : start + MAX_PARALLEL]
        results += _run_side_by_side(experiment, make_policy(len(part), part[0]), part, should_stop)
    return results


def evaluation_seeds(experiment: Experiment) -> list[int]:
    """The seed of each episode."""
    first = experiment.evaluation.seed
    return list(range(first, first + experiment.evaluation.episodes))


def begin_episode(experiment: Experiment, env: gymnasium.Env[Any, Any], seed: int) -> tuple[Any, dict[str, Any]]:
    """Resets an env to the evaluation's episode of this seed: where there is a scenario matrix, in its order."""
    index = seed - experiment.evaluation.seed
    return env.reset(seed=seed, options=evaluation_options(experiment.env, index))


def _run_side_by_side(
    experiment: Experiment, policy: BatchPolicy, seeds: list[int], should_stop: Callable[[], bool]
) -> list[EpisodeResult]:
    envs = [make_env(experiment.env, experiment.obs_contract) for _ in seeds]
    observations = np.stack([begin_episode(experiment, env, seed)[0] for env, seed in zip(envs, seeds, strict=True)])
    returns, lengths = np.zeros(len(seeds)), np.zeros(len(seeds), int)
    results: list[EpisodeResult | None] = [None] * len(seeds)
    while None in results:
        if should_stop():
            raise Stopped
        actions = policy.act(observations)
        for i, env in enumerate(envs):
            if results[i] is not None:
                continue  # its row of the batch goes on being computed and ignored
            observations[i], reward, terminated, truncated, info = env.step(actions[i])
            returns[i] += float(reward)
            lengths[i] += 1
            if terminated or truncated:
                results[i] = result_of(info, float(returns[i]), int(lengths[i]))
                env.close()  # type: ignore[no-untyped-call]  # Gymnasium's
    return [result for result in results if result is not None]


def evaluate_baseline(
    experiment: Experiment, name: str, should_stop: Callable[[], bool] = never
) -> list[EpisodeResult]:
    """A baseline's episodes on the evaluation's seeds, in the raw environment; raises Stopped when told to."""
    env = make_raw_env(experiment.env)
    results = []
    for seed in evaluation_seeds(experiment):
        observation, info = begin_episode(experiment, env, seed)
        baseline = make_baseline(name, env, seed)
        baseline.reset()
        total, length, done = 0.0, 0, False
        while not done:
            if should_stop():
                raise Stopped
            observation, reward, terminated, truncated, info = env.step(baseline.act(observation))
            total, length, done = total + float(reward), length + 1, terminated or truncated
        results.append(result_of(info, total, length))
    env.close()
    return results


def evaluation_row(
    policy: str, env_steps: int, updates: int, results: list[EpisodeResult], seeds: list[int]
) -> dict[str, Any]:
    """One row of evaluation.jsonl: rates with their 95 % Wilson intervals, means, and every episode."""
    told = [result for result in results if result.outcome is not None]
    returns = [result.episode_return for result in results]
    row: dict[str, Any] = {
        "policy": policy,
        "env_steps": env_steps,
        "updates": updates,
        "episodes": len(results),
        "return_mean": mean(returns),
        "length_mean": mean(result.length for result in results),
        "success_rate": mean(result.outcome == SUCCESS for result in told),
        "success_interval_95": wilson_interval(sum(r.outcome == SUCCESS for r in told), len(told)),
        "collision_rate": mean(result.collided for result in told),
        **{f"{kind}_rate": mean(result.outcome == kind for result in told) for kind in (*COLLISIONS, TIMEOUT)},
        "outcomes": [{**asdict(result), "seed": seed} for result, seed in zip(results, seeds, strict=True)],
    }
    return row


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> list[float] | None:
    """Wilson's score interval of a rate (E. B. Wilson, JASA 22:209, 1927, eq. 3); None without trials."""
    if trials == 0:
        return None
    rate, shrink = successes / trials, 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / shrink
    return [max(0.0, centre - half), min(1.0, centre + half)]
