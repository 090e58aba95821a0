"""Checks of the options that the schema alone cannot make; each error is one line that names the key."""

from collections.abc import Mapping

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES

MIXED = "mixed"
"""The family is drawn at each reset, by weight."""


def check_scenario(scenario: str) -> None:
    """Raise UserError unless the scenario is a family's name or `mixed`."""
    if scenario in (MIXED, *FAMILIES):
        return
    raise UserError(
        f"env.scenario={scenario!r}: no such scenario family.{nearest(scenario, (MIXED, *FAMILIES))}"
        f" There are: {', '.join((MIXED, *FAMILIES))}"
    )


def check_family(family: str) -> None:
    """Raise UserError unless it is a family's name."""
    if family not in FAMILIES:
        raise UserError(
            f"reset: options scenario={family!r}: no such scenario family.{nearest(family, FAMILIES)}"
            f" There are: {', '.join(FAMILIES)}"
        )


def family_probabilities(weights: Mapping[str, float] | None) -> dict[str, float]:
    """Return the positive probabilities by family; None means equal weights, and unnamed families have weight 0.

    Raises:
        UserError: an unknown family, a negative or non-finite weight, or no positive weight.
    """
    weights = dict.fromkeys(FAMILIES, 1.0) if weights is None else weights
    for name, weight in weights.items():
        if name not in FAMILIES:
            raise UserError(
                f"env.scenario_weights.{name}={weight!r}: no such scenario family.{nearest(name, FAMILIES)}"
                f" There are: {', '.join(FAMILIES)}"
            )
        if not isinstance(weight, (int, float)) or not 0.0 <= weight < float("inf"):
            raise UserError(f"env.scenario_weights.{name}={weight!r}: a weight is a finite number, 0 or more")
    total = sum(weights.values())
    if total <= 0.0:
        raise UserError(f"env.scenario_weights={dict(weights)!r}: at least one family needs a weight above 0")
    return {name: weights[name] / total for name in FAMILIES if weights.get(name, 0.0) > 0.0}


def check_max_steps(max_steps: int) -> None:
    """Raise UserError unless it is a whole number of steps, 1 or more."""
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise UserError(f"env.max_steps={max_steps!r}: a whole number of steps, 1 or more")
