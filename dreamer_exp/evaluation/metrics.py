"""The metrics of an evaluation, computed from its episodes."""

from dataclasses import asdict
from typing import Any

from dreamer_exp.envs.episode import COLLISIONS, FAULT, SUCCESS, TIMEOUT, EpisodeResult
from dreamer_exp.monitoring.metrics_row import mean
from dreamer_exp.rundir.rates import wilson_interval


def evaluation_row(
    policy: str, env_steps: int, updates: int, results: list[EpisodeResult], seeds: list[int]
) -> dict[str, Any]:
    """Return one row of evaluation.jsonl: rates with 95 % Wilson intervals, means, and every episode.

    A metric is None if no episode has it: a Gymnasium task has no outcomes, and so no rates. `time_to_goal_s_mean` is
    a mean over successes, `min_clearance_m_*` over episodes with pedestrians. An episode that ended by a fault of the
    environment (`faults` counts them) stays in the rates as a failure, so that all rates cover the same episodes.

    Args:
        policy: the name of the policy or baseline.
        env_steps: steps that the policy was trained on.
        updates: updates that trained it.
        results: the episodes.
        seeds: the seed of each episode, in the order of `results`.
    """
    clearances = [result.min_clearance for result in results if result.min_clearance is not None]
    return {
        "policy": policy,
        "env_steps": env_steps,
        "updates": updates,
        "episodes": len(results),
        "faults": sum(result.outcome == FAULT for result in results),
        "return_mean": mean(result.episode_return for result in results),
        "length_mean": mean(result.length for result in results),
        **_rates(results),
        "spl": mean(result.spl for result in results if result.spl is not None),
        "time_to_goal_s_mean": mean(r.time_s for r in results if r.outcome == SUCCESS and r.time_s is not None),
        "min_clearance_m_mean": mean(clearances),
        "min_clearance_m_min": min(clearances, default=None),
        "outcomes": [{**asdict(result), "seed": seed} for result, seed in zip(results, seeds, strict=True)],
    }


def _rates(results: list[EpisodeResult]) -> dict[str, Any]:
    """Return the rate and interval of each outcome, and of `collision` for all kinds of collisions."""
    ended = [result for result in results if result.outcome is not None]
    if all(result.outcome == FAULT for result in ended):
        ended = []  # faults occur in tasks without outcomes too
    occurred = {kind: [result.outcome == kind for result in ended] for kind in (SUCCESS, *COLLISIONS, TIMEOUT)}
    occurred["collision"] = [result.collided for result in ended]
    row: dict[str, Any] = {}
    for kind, flags in occurred.items():
        row[f"{kind}_rate"] = mean(flags)
        row[f"{kind}_interval_95"] = wilson_interval(sum(flags), len(flags))
    return row
