"""The metrics of an evaluation, computed from its episodes."""

from typing import Any

from dreamer_exp.envs.episode import COLLISIONS, FAULT, SUCCESS, TIMEOUT, EpisodeResult
from dreamer_exp.evaluation.episodes import EpisodeList
from dreamer_exp.evaluation.social import NAMES
from dreamer_exp.monitoring.metrics_row import mean
from dreamer_exp.rundir.formats import current_format
from dreamer_exp.rundir.layout import EVALUATION
from dreamer_exp.rundir.rates import wilson_interval


def evaluation_row(  # noqa: PLR0917
    policy: str, kind: str, env_steps: int, updates: int, results: list[EpisodeResult], driven: EpisodeList
) -> dict[str, Any]:
    """Return one row of evaluation.jsonl: rates with 95 % Wilson intervals, means, and every episode.

    A metric is None if no episode has it: a Gymnasium task has no outcomes, and so no rates. `time_to_goal_s_mean` is
    a mean over successes, `min_clearance_m_*` over episodes with pedestrians. An episode that ended by a fault of the
    environment (`faults` counts them) stays in the rates as a failure, so that all rates cover the same episodes.
    Impossible episodes (impossible.py) stay in the rates too; `success_rate_without_impossible` leaves them out.
    Social metrics (social.py) are means over the episodes that have them. `by_scenario` has the rates of each scenario,
    worst first.

    Args:
        policy: the name of the algorithm or baseline.
        kind: TRAINED or BASELINE.
        env_steps: steps that the policy was trained on.
        updates: updates that trained it.
        results: what happened in the episodes.
        driven: the episodes, in the order of `results`.
    """
    clearances = [result.min_clearance for result in results if result.min_clearance is not None]
    return {
        "format": current_format(EVALUATION),
        "policy": policy,
        "kind": kind,
        "env_steps": env_steps,
        "updates": updates,
        "episodes": len(results),
        "episodes_chosen": driven.choice,
        "faults": sum(result.outcome == FAULT for result in results),
        "return_mean": mean(result.episode_return for result in results),
        "length_mean": mean(result.length for result in results),
        **_rates(results, has_outcomes(results)),
        "spl": mean(result.spl for result in results if result.spl is not None),
        "time_to_goal_s_mean": mean(r.time_s for r in results if r.outcome == SUCCESS and r.time_s is not None),
        "min_clearance_m_mean": mean(clearances),
        "min_clearance_m_min": min(clearances, default=None),
        "near_misses": mean(result.near_misses for result in results if result.near_misses is not None),
        **_social_means(results),
        **_without_impossible(results),
        "by_scenario": rates_by_scenario(results),
        "outcomes": [
            {**result.to_dict(), "seed": episode.seed} for result, episode in zip(results, driven.episodes, strict=True)
        ],
    }


def _social_means(results: list[EpisodeResult]) -> dict[str, float | None]:
    """Return the mean of each social metric over the episodes that have it."""
    measured = [result.social for result in results if result.social is not None]
    return {name: mean(value for of_one in measured if (value := of_one.get(name)) is not None) for name in NAMES}


def _without_impossible(results: list[EpisodeResult]) -> dict[str, Any]:
    """Return the number of impossible episodes, and the success rate and interval without them."""
    rates = _rates([result for result in results if not result.impossible], has_outcomes(results))
    return {
        "impossible_episodes": sum(result.impossible for result in results),
        "success_rate_without_impossible": rates["success_rate"],
        "success_without_impossible_interval_95": rates["success_interval_95"],
    }


def rates_by_scenario(results: list[EpisodeResult]) -> dict[str, dict[str, Any]]:
    """Return the number of episodes and the rates of each scenario, the one with the fewest successes first.

    Scenarios with equal success rates are ordered by their collisions, most first, then by name. A scenario whose
    episodes have no outcome is left out; an environment without scenarios or outcomes has none.
    """
    by_scenario: dict[str, list[EpisodeResult]] = {}
    for result in results:
        if result.scenario is not None and result.outcome is not None:
            by_scenario.setdefault(result.scenario, []).append(result)
    if not has_outcomes(results):
        return {}
    rates = {name: {"episodes": len(group), **_rates(group, True)} for name, group in by_scenario.items()}
    order = sorted(rates, key=lambda name: (rates[name]["success_rate"], -rates[name]["collision_rate"], name))
    return {name: rates[name] for name in order}


def has_outcomes(results: list[EpisodeResult]) -> bool:
    """Return whether the task reports outcomes; faults occur in tasks without outcomes too."""
    return any(result.outcome not in (None, FAULT) for result in results)


def _rates(results: list[EpisodeResult], known: bool) -> dict[str, Any]:
    """Return the rate and interval of each outcome, and of `collision` for all kinds of collisions.

    Args:
        results: of all episodes, or of some of them.
        known: whether the task reports outcomes; if not, all rates are None.
    """
    ended = [result for result in results if known and result.outcome is not None]
    occurred = {kind: [result.outcome == kind for result in ended] for kind in (SUCCESS, *COLLISIONS, TIMEOUT)}
    occurred["collision"] = [result.collided for result in ended]
    row: dict[str, Any] = {}
    for kind, flags in occurred.items():
        row[f"{kind}_rate"] = mean(flags)
        row[f"{kind}_interval_95"] = wilson_interval(sum(flags), len(flags))
    return row
