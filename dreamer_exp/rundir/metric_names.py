"""The metric names of a run: an interface to compare, W&B dashboards and users' scripts."""

from collections.abc import Collection, Mapping
from typing import Any

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.rundir.display import is_number

TRAINED, BASELINE = "trained", "baseline"  # `kind` of a row of evaluation.jsonl
NAME_BEFORE_KINDS = "dreamerv3"  # of the trained policy of any algorithm in rows of the formats 1 and 2
WINDOW = 100  # last finished episodes in the *_window metrics

# of DreamerV3's learners; rows have those of their algorithm (AlgorithmSpec.metrics)
LEARNER_METRICS = (
    "loss/total",
    "loss/world_model",
    "loss/decoder",
    "loss/reward",
    "loss/continue",
    "loss/prediction",
    "loss/dynamics",
    "loss/representation",
    "loss/actor",
    "loss/actor_reinforce",
    "loss/actor_entropy_term",
    "loss/critic",
    "loss/critic_replay",
    "loss/critic_value_targets",
    "loss/critic_slow_regulariser",
    "actor_entropy",
    "advantage_abs_mean",
    "return_scale",
    "return_percentile_5",
    "return_percentile_95",
    "grad_norm/world_model",
    "grad_norm/actor",
    "grad_norm/critic",
    "grad_max/world_model",
    "grad_max/actor",
    "grad_max/critic",
)

ROW = (
    "iteration",
    "env_steps",
    "updates",
    "episodes",
    "episodes_total",
    "episodes_cut_total",
    "env_faults",
    "episode_return_mean",
    "episode_length_mean",
    "episode_return_window",
    "success_rate_window",
    "collision_rate_window",
    "timeout_rate_window",
    "training_ratio_actual",
    *LEARNER_METRICS,
    "replay/steps",
    "replay/bytes",
    "time/sample_s",
    "time/update_s",
    "time/total_s",
    "rate/env_steps_per_s",
    "rate/updates_per_s",
    "memory/rss_bytes",
    "memory/env_runners_rss_bytes",
    "memory/gpu_bytes",
)

# added to the last row in run_summary.json's `final`: of the last evaluation, else of the window
FINAL = ("success_rate", "return_mean")

# of a row of evaluation.jsonl: those that are better when higher, and when lower
EVALUATION_HIGHER = (
    "success_rate",
    "success_rate_without_impossible",
    "return_mean",
    "spl",
    "min_clearance_m_mean",
    "min_clearance_m_min",
    "path_efficiency",
)
EVALUATION_LOWER = (
    "collision_rate",
    "pedestrian_collision_rate",
    "wall_collision_rate",
    "robot_collision_rate",
    "timeout_rate",
    "time_to_goal_s_mean",
    "time_to_goal_norm",
    "length_mean",
    "near_misses",
    "faults",
    "jerk_mean",
    "curvature_mean",
    "time_not_moving",
    "stalled_time",
    "intimate_space_share",
    "personal_space_share",
    "social_space_share",
    "force_exceed_events",
    "comfort_exposure",
)


def score(row: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the sort key of evaluations: success rate, then SPL, then mean return, each 0 if it is not a number."""
    values = (row.get(name) for name in ("success_rate", "spl", "return_mean"))
    return tuple(float(value) if is_number(value) else 0.0 for value in values)


def is_trained(row: Mapping[str, Any]) -> bool:
    """Return whether a row of evaluation.jsonl, of any format, is of the trained policy and not of a baseline."""
    kind = row.get("kind")
    return row.get("policy") == NAME_BEFORE_KINDS if kind is None else bool(kind == TRAINED)


def check_objective(name: str, algorithm: str, reported: Collection[str]) -> None:
    """Refuse a `run.objective` that no run has, or that this algorithm does not report.

    Args:
        name: the objective.
        algorithm: the name of the algorithm.
        reported: the metrics of its learner, a subset of LEARNER_METRICS and new ones (AlgorithmSpec.metrics).

    Raises:
        UserError: It is not a metric, or one of other algorithms.
    """
    reported = tuple(reported)
    known = tuple(dict.fromkeys((*FINAL, *ROW, *reported)))
    if name not in known:
        hint = nearest(name, known)
        raise UserError(
            f"run.objective={name!r} is not a metric of a run.{hint} Usual: {', '.join((*FINAL, *reported[:1]))}."
        )
    if name in LEARNER_METRICS and name not in reported:
        raise UserError(
            f"run.objective={name!r} is not a metric of algo={algorithm}. Usual: {', '.join(FINAL)}, {reported[0]}."
        )
