"""Whether horizon_H is earned: up to which step the world model predicts better than the predictors without one."""

from collections.abc import Mapping, Sequence
from typing import Any

MODEL, STILL, LINEAR = "model", "nothing_changes", "linear"
RIVALS = (STILL, LINEAR)


def better_steps(errors: Mapping[str, Sequence[float | None]]) -> list[int]:
    """Return the steps, from 1, at which the model's error is smaller than that of every other predictor."""
    rivals = [errors[name] for name in RIVALS if name in errors]
    return [
        step
        for step, error in enumerate(errors[MODEL])
        if step and error is not None and all(error < other for rival in rivals if (other := rival[step]) is not None)
    ]


def earned_steps(errors: Mapping[str, Any], horizon: int) -> int | None:
    """Return the last step at which the model is better, there and at most steps up to it; 0 if there is none.

    Steps at which nothing has changed or ended do not count. None if no step counts.

    Args:
        errors: of one quantity, with `better_at`.
        horizon: horizon_H.
    """
    counted = [step for step, error in enumerate(errors[STILL][: horizon + 1]) if step and error]
    if not counted:
        return None
    better = [step in errors["better_at"] for step in counted]
    earned = [step for place, step in enumerate(counted) if better[place] and 2 * sum(better[: place + 1]) > place + 1]
    last = earned[-1] if earned else 0
    return horizon if last == counted[-1] else last  # no episode is known that far


def sentence(horizon: int, earned: Mapping[str, int | None], has_linear: bool) -> str:
    """Return the verdict in words; `earned` is None for what never changed, and for `continue` if no episode ended."""
    rivals = "both predictors" if has_linear else "the last step repeated"
    known = {name: step for name, step in earned.items() if step is not None}
    unknown = "".join(
        f"; {name}: {'no episode ended' if name == 'continue' else 'nothing to predict'}"
        for name, step in earned.items()
        if step is None
    )
    if not known:
        return f"whether horizon_H = {horizon} is earned is unknown: nothing changed and no episode ended"
    least = min(known.values())
    beats = f"the model beats {rivals} up to step {least} of {horizon}"
    if least == horizon:
        return f"horizon_H = {horizon} is earned: {beats} on {_join(known)}{unknown}"
    each = ", ".join(f"{name} {step}" for name, step in known.items())
    return f"horizon_H = {horizon} is not earned: {beats} ({each}){unknown}"


def _join(names: Mapping[str, int]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
