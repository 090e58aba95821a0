"""algo.loss_scales and algo.decoder_scales: names, checks, and the way to the learner."""

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.loss_scales import LOSS_SCALES, check_loss_scales, decoder_weights
from dreamer_exp.algorithms.dreamerv3.spec import SPEC
from dreamer_exp.algorithms.rllib.build import build_algorithm, build_config
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.make import contract_of
from tests.experiments import nano, nano_gym

DRIVE_STATE_RAYS = "obs_contract=drive_state_rays"


def contract() -> ObservationContract:
    experiment = nano(DRIVE_STATE_RAYS)
    return contract_of(experiment.env, experiment.obs_contract)


def test_the_keys_default_to_the_published_values() -> None:
    assert nano().algo.loss_scales == LOSS_SCALES
    assert nano().algo.decoder_scales == {}


def test_every_loss_scale_has_a_metric_of_its_name() -> None:
    assert {SPEC.metrics[f"loss/{name}"] for name in LOSS_SCALES} == set(LOSS_SCALES)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        (LOSS_SCALES | {"decodr": 1.0}, r"algo.loss_scales.decodr is not a loss. Did you mean 'decoder'\? Use: d"),
        (LOSS_SCALES | {"actor": -1.0}, r"algo.loss_scales.actor=-1.0 is out of range: .*finite and at least 0"),
        (LOSS_SCALES | {"actor": float("inf")}, r"algo.loss_scales.actor=inf is out of range"),
        ({name: 1.0 for name in LOSS_SCALES if name != "continue"}, r"algo.loss_scales.continue has no value; .* 1 \("),
    ],
)  # fmt: skip
def test_wrong_loss_scales_are_refused(scales: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_loss_scales(scales)


def test_decoder_weights_cover_the_elements_of_their_entry() -> None:
    entry = next(entry for entry in contract().entries if entry.key == "drive_state")
    weights = decoder_weights({"drive_state": 20.0}, contract())
    assert weights is not None
    assert len(weights) == contract().size
    assert set(weights[entry.start : entry.stop]) == {20.0}
    assert set(weights[: entry.start] + weights[entry.stop :]) == {1.0}


def test_without_decoder_scales_there_are_no_decoder_weights() -> None:
    assert decoder_weights({}, contract()) is None
    assert decoder_weights({"rays": 1.0}, contract()) is None


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"drive_stat": 2.0}, r"'drive_stat' is not in the observation contract. Did you mean 'drive_state'\? It"),
        ({"rays": -0.5}, r"algo.decoder_scales.rays=-0.5 is out of range"),
    ],
)  # fmt: skip
def test_wrong_decoder_scales_are_refused(scales: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        decoder_weights(scales, contract())


def test_an_unknown_key_is_refused_before_anything_is_built() -> None:
    with pytest.raises(UserError, match="It has: observation"):
        build_config(nano_gym("CartPole-v1", "+algo.decoder_scales.drive_state=2"))
    with pytest.raises(UserError, match=r"algo.loss_scales.kl is not a loss"):
        build_config(nano("+algo.loss_scales.kl=2"))


@pytest.mark.usefixtures("ray_local")
def test_the_keys_reach_the_losses() -> None:
    words = ("algo.loss_scales.continue=0.5", "+algo.decoder_scales.drive_state=20")
    algorithm = build_algorithm(nano(DRIVE_STATE_RAYS, *words))
    config = algorithm.learner_group._learner.update_once.config
    algorithm.stop()
    assert config.loss_scales == LOSS_SCALES | {"continue": 0.5}
    wanted = decoder_weights({"drive_state": 20.0}, contract())
    assert wanted is not None
    assert torch.equal(config.decoder_weights, torch.tensor(wanted))
