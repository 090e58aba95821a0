"""Robot SF's rewards by name, and which weights each of them takes; known without the package (40d0854)."""

from collections.abc import Mapping

from dreamer_exp.config.checks import nearest
from dreamer_exp.config.errors import UserError

ROUTE_TERMS = (
    "progress", "living", "collision", "near_miss", "ttc_risk", "comfort", "smoothness", "timeout", "stagnation",
    "terminal_bonus",
)  # fmt: skip
SNQI_TERMS = ("w_success", "w_time", "w_collisions", "w_near", "w_comfort", "w_force_exceed", "w_jerk")

WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "route_completion_v2": ROUTE_TERMS,
    "route_completion_v3": ROUTE_TERMS,
    "social_quality_v1": ROUTE_TERMS,
    "snqi_step": SNQI_TERMS,
    "simple": (),
    "punish_action": (),
    "alyassi": (),
}
"""Reward name -> names of its weights; a name that is missing here is ignored by Robot SF without a word."""


def check_reward(name: str, weights: Mapping[str, float]) -> None:
    """Raise UserError for a weight that this reward does not have; `name` was checked by the schema."""
    terms = WEIGHTS[name]
    for weight in weights:
        if weight not in terms:
            has = f"it has: {', '.join(terms)}" if terms else "it has none (env.factory_kwargs.reward_kwargs sets it)"
            raise UserError(
                f"env.reward_weights.{weight}: env.reward_name={name} has no such weight.{nearest(weight, terms)} "
                f"Of weights {has}."
            )
    if name == "snqi_step" and weights and set(weights) != set(SNQI_TERMS):
        lacking = ", ".join(term for term in SNQI_TERMS if term not in weights)
        raise UserError(f"env.reward_weights: snqi_step takes all of its weights or none; missing: {lacking}.")
