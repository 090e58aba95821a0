"""Weights of the losses: their names, their published values, and checks of the values that a user sets.

Source of the values: Hafner et al. 2023 (arXiv:2301.04104v2), eq. 2 and the table of hyperparameters.
"""

import math
from collections.abc import Mapping

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.envs.contract import ObservationContract

LOSS_SCALES = {
    "decoder": 1.0,
    "reward": 1.0,
    "continue": 1.0,
    "dynamics": 1.0,
    "representation": 0.1,
    "actor": 1.0,
    "critic": 1.0,
    "critic_replay": 0.3,
}


def check_loss_scales(scales: Mapping[str, float]) -> None:
    """Check that `algo.loss_scales` has exactly the names of the losses, each with a finite number of at least 0.

    Raises:
        UserError: naming the first key at fault.
    """
    for name, scale in scales.items():
        if name not in LOSS_SCALES:
            raise UserError(
                f"algo.loss_scales.{name} is not a loss.{nearest(name, list(LOSS_SCALES))} "
                f"Use: {', '.join(LOSS_SCALES)}."
            )
        _check_weight(f"algo.loss_scales.{name}", scale)
    for name, published in LOSS_SCALES.items():
        if name not in scales:
            raise UserError(f"algo.loss_scales.{name} has no value; give it one, such as {published:g} (published).")


def check_decoder_scales(scales: Mapping[str, float], contract: ObservationContract) -> None:
    """Check that `algo.decoder_scales` names entries of the contract, each with a finite number of at least 0.

    Raises:
        UserError: naming the first key at fault.
    """
    known = [entry.key for entry in contract.entries]
    for key, scale in scales.items():
        if key not in known:
            raise UserError(
                f"algo.decoder_scales: {key!r} is not in the observation contract.{nearest(key, known)} "
                f"It has: {', '.join(known)}."
            )
        _check_weight(f"algo.decoder_scales.{key}", scale)


def decoder_weights(scales: Mapping[str, float], contract: ObservationContract) -> tuple[float, ...] | None:
    """Return the weight of each element of the flat observation (O,), or None if all are 1.

    Args:
        scales: `algo.decoder_scales`, by key of the contract's entries; entries without one have weight 1.
        contract: the observation contract.

    Raises:
        UserError: as `check_decoder_scales`.
    """
    check_decoder_scales(scales, contract)
    if all(scale == 1.0 for scale in scales.values()):
        return None
    weights = [1.0] * contract.size
    for entry in contract.entries:
        weights[entry.start : entry.stop] = [scales.get(entry.key, 1.0)] * (entry.stop - entry.start)
    return tuple(weights)


def _check_weight(key: str, weight: float) -> None:
    if not math.isfinite(weight) or weight < 0.0:
        raise UserError(f"{key}={weight} is out of range: it has to be finite and at least 0.")
