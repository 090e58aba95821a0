"""Encoders and decoders by entry: against a readable model, in geometry, in parameters and in the losses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.acting_network import build
from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, Noise, ReturnRange, total_loss
from dreamer_exp.algorithms.dreamerv3.networks.layers import RMS_EPSILON
from dreamer_exp.algorithms.dreamerv3.observation_parts import (
    GridShape,
    LidarShape,
    Part,
    fits_parts,
    read_parts,
    write_parts,
)
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES, parts_of
from dreamer_exp.algorithms.dreamerv3.world_model.entries import (
    Convolution,
    EntryDecoder,
    EntryEncoder,
    GridEncoder,
    LidarEncoder,
)
from dreamer_exp.envs.make import contract_of
from dreamer_exp.planning.forecast import forecast
from tests.experiments import experiment

B, T, H = 2, 3, 2
PARTS = (
    Part("state", "vector", (2,), 0, 2),
    Part("rays", "lidar", (2, 18), 2, 38),
    Part("goal", "vector", (3,), 38, 41),
)
WORDS = ("env=crowd_nav", "obs_contract.encoders={rays: lidar}", "hardware=cpu", "algo.model_size=nano")
BOX = ActionKind(2, discrete=False)


def make_agent() -> Agent:
    torch.manual_seed(1)
    return Agent(SIZES["nano"], 41, BOX, parts=PARTS)


def norm_silu(x: Tensor, scale: Tensor) -> Tensor:
    y = x / torch.sqrt(x.square().mean(-1, keepdim=True) + RMS_EPSILON) * scale
    return y * torch.sigmoid(y)


def readable_lidar(encoder: LidarEncoder, scan: Tensor) -> Tensor:
    """Return the tokens of one scan (frames, bearings), one bearing after the other."""
    positions = list(scan.t())
    for product, norm in zip(encoder.layers[::2], encoder.layers[1::2], strict=True):
        positions += positions[: -len(positions) % 4]
        seen = [
            torch.cat([positions[(first + offset) % len(positions)] for offset in range(-4, 8)])
            for first in range(0, len(positions), 4)
        ]
        positions = [norm_silu(product.weight @ window + product.bias, norm.scale) for window in seen]
    return torch.cat(positions)


def readable_decoder(decoder: EntryDecoder, hidden: Tensor) -> Tensor:
    """Return the scan (frames * bearings,) predicted from one row of the MLP."""
    lidar = decoder.convolved[0]
    lengths, channels = lidar.shape.lengths[::-1], lidar.shape.channels[::-1]
    start = lidar.start.weight @ hidden + lidar.start.bias
    positions = [norm_silu(position, lidar.norm.scale) for position in start.split(channels[0])]
    for at, product in enumerate(lidar.layers):
        count, finer = len(positions), []
        for centre in range(count):
            window = torch.cat([positions[(centre + offset) % count] for offset in (-1, 0, 1)])
            finer += (product.weight @ window + product.bias).split(channels[at + 1])
        positions = finer[: lengths[at + 1]]
        if at < len(lidar.norms):
            positions = [norm_silu(position, lidar.norms[at].scale) for position in positions]
    return torch.stack(positions, 1).flatten()


def test_encoder_reads_each_entry_at_its_place_as_the_readable_model() -> None:
    encoder = make_agent().encoder
    assert isinstance(encoder, EntryEncoder)
    assert encoder.vector is not None
    vectors = 3 * torch.randn(4, 41)
    squashed = vectors.sign() * vectors.abs().log1p()
    both = torch.cat([squashed[:, :2], squashed[:, 38:]], 1)
    lidar = torch.stack([readable_lidar(encoder.convolved[0], row[2:38].view(2, 18)) for row in squashed])
    assert torch.allclose(encoder(vectors), torch.cat([encoder.vector(both), lidar], 1), atol=1e-5)


def test_decoder_puts_each_entry_at_its_place_as_the_readable_model() -> None:
    decoder = make_agent().decoder
    assert isinstance(decoder, EntryDecoder)
    assert decoder.vector is not None
    hidden = torch.randn(4, 64)
    predicted = decoder.outputs(hidden)
    assert torch.allclose(
        predicted[:, 2:38], torch.stack([readable_decoder(decoder, row) for row in hidden]), atol=1e-5
    )
    assert torch.equal(torch.cat([predicted[:, :2], predicted[:, 38:]], 1), decoder.vector(hidden))


def test_a_turned_scan_turns_the_lidar_tokens() -> None:
    shape = LidarShape.of(Part("rays", "lidar", (3, 272), 0, 816), 64)
    encoder, scan = LidarEncoder(shape), torch.rand(1, 3, 272)
    tokens, turned = (encoder(each.flatten(1)).view(17, -1) for each in (scan, scan.roll(32, -1)))
    assert torch.allclose(turned, tokens.roll(2, 0), atol=1e-5)


def readable_convolution(layer: Convolution, image: Tensor) -> Tensor:
    """Return the product (H', W', outputs) of cells (H, W, inputs), one output cell after the other."""
    padded = torch.nn.functional.pad(image, (0, 0, 2, 2, 2, 2))
    rows = [
        [
            torch.einsum("hwi,oihw->o", padded[top : top + 5, left : left + 5], layer.weight) + layer.bias
            for left in range(0, image.shape[1], 2)
        ]
        for top in range(0, image.shape[0], 2)
    ]
    return torch.stack([torch.stack(row) for row in rows])


def test_grid_encoder_reads_channels_first_cells_as_the_readable_model() -> None:
    encoder, grid = GridEncoder(GridShape.of(Part("map", "grid", (2, 9, 12), 0, 216), 16)), torch.rand(2, 9, 12)
    x = grid.permute(1, 2, 0)
    for product, norm in zip(encoder.layers[::2], encoder.layers[1::2], strict=True):
        x = norm_silu(readable_convolution(product, x), norm.scale)
    assert torch.allclose(encoder(grid.flatten()[None]), x.flatten()[None], atol=1e-5)


@pytest.mark.parametrize("sides", [(8, 8), (9, 12)])
def test_a_transposed_convolution_is_the_adjoint_of_a_convolution(sides: tuple[int, int]) -> None:
    down, up = Convolution(2, 3), Convolution(3, 2, transposed=True)
    up.weight.data = down.weight.data
    fine = torch.rand(1, *sides, 2)
    coarse = torch.rand(1, -(-sides[0] // 2), -(-sides[1] // 2), 3)
    assert torch.allclose((down(fine) * coarse).sum(), (fine * up(coarse, sides)).sum(), rtol=1e-5)


def test_grids_and_images_are_predicted_within_their_bounds() -> None:
    parts = (
        Part("map", "grid", (2, 8, 8), 0, 128, "bernoulli"),
        Part("picture", "image", (8, 9, 1), 128, 200, "pixels"),
        Part("field", "grid", (8, 8), 200, 264, "squares"),
    )
    decoder = EntryDecoder(parts, 128, 64, 1, squash=True)
    feature, observation = torch.randn(5, 128), torch.cat([torch.ones(5, 128), torch.full((5, 136), 200.0)], -1)
    predicted, raw = decoder.predict(feature), decoder(feature)
    assert torch.equal(predicted[:, :128], torch.sigmoid(raw[:, :128]))
    assert torch.equal(predicted[:, 128:200], 255 * torch.sigmoid(raw[:, 128:200]))
    _, named = decoder.losses(feature, observation, None)
    expected = {
        "decoder/map": -torch.log(predicted[:, :128]),
        "decoder/picture": ((predicted[:, 128:200] - 200) / 255).square(),
        "decoder/field": (raw[:, 200:] - np.log(201)).square(),
    }
    for name, errors in expected.items():
        assert torch.allclose(named[name], errors.sum(-1).mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("lidar", (8,)), ("lidar", (2, 23)), ("lidar", (3, 272)), ("grid", (9, 21)), ("grid", (3, 32, 32)),
        ("image", (17, 8, 3)),
    ],
)  # fmt: skip
def test_parameters_are_counted_without_torch(kind: str, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    parts = (Part("seen", kind, shape, 0, size), Part("goal", "vector", (2,), size, size + 2))
    agent = Agent(SIZES["nano"], size + 2, BOX, parts=parts)
    counted = parts_of(SIZES["nano"], size + 2, 2, is_discrete=False, observation=parts)
    assert counted == {name: sum(p.numel() for p in getattr(agent, name).parameters()) for name in counted}


def test_losses_by_key_sum_to_the_decoder_loss_and_scale_by_key() -> None:
    weights = torch.ones(41)
    weights[2:38] = 10.0
    batch = Batch(
        *(torch.randn(B, T, 41), torch.rand(B, T, 2), torch.rand(B, 2), torch.randn(B, T)),
        *(torch.zeros(3, B, T)), make_agent().rssm.initial(B),
    )  # fmt: skip
    noise = Noise(torch.rand(B, T, 8), torch.rand(H, B * T, 8), torch.randn(H + 1, B * T, 2))
    runs = [
        total_loss(make_agent(), batch, noise, ReturnRange(), LossConfig(horizon_H=H, decoder_weights=given))
        for given in (None, weights)
    ]
    (total, figures, _), (weighted, same, _) = runs
    by_key = {name: float(value) for name, value in figures.items() if name.startswith("decoder")}
    assert set(by_key) == {"decoder", "decoder/state", "decoder/rays", "decoder/goal"}
    assert by_key["decoder"] == pytest.approx(sum(by_key.values()) - by_key["decoder"], rel=1e-5)
    assert {name: float(same[name]) for name in by_key} == by_key
    assert float((weighted - total).detach()) == pytest.approx(9 * by_key["decoder/rays"], rel=1e-4)


@pytest.mark.parametrize("later", [{"half"}, {"half", "uint8"}])
def test_parts_of_earlier_releases_can_be_read(later: set[str]) -> None:
    trees = [{name: value for name, value in tree.items() if name not in later} for tree in write_parts(PARTS)]
    assert fits_parts(trees)
    assert read_parts(trees) == PARTS


def test_policy_file_describes_the_encoders(tmp_path: Path) -> None:
    parts = write_parts(PARTS)
    assert read_parts(json.loads(json.dumps(parts))) == PARTS
    description = {
        "network": vars(SIZES["nano"]), "observation_size": 41, "symlog_obs": True, "observation": parts,
        "action": {"kind": "box", "size": 2},
    }  # fmt: skip
    assert {name for name, _ in build(description).named_parameters()} == {
        f"agent.{name}" for name, _ in make_agent().named_parameters()
    }


@pytest.mark.parametrize(
    "change",
    [
        {"start": 1},
        {"stop": 39},
        {"shape": [38]},
        {"shape": [0, 9]},
        {"kind": "sonar"},
        {"loss": "none"},
        {"size": 3},
        {"half": 3},
        {"uint8": 3},
    ],
)  # fmt: skip
def test_parts_that_do_not_fill_the_vector_are_no_description(change: dict[str, object]) -> None:
    parts = write_parts(PARTS)
    assert fits_parts(parts)
    assert fits_parts(None)
    assert not fits_parts([])
    assert not fits_parts([parts[0], {**parts[1], **change}, parts[2]])


def test_the_forecast_counts_the_lidar_encoder() -> None:
    lidar = experiment(*WORDS)
    contract = contract_of(lidar.env, lidar.obs_contract)
    parts = tuple(Part(each.key, each.encoder, each.shape, each.start, each.stop) for each in contract.entries)
    agent = Agent(SIZES["nano"], contract.size, BOX, parts=parts)
    trained = sum(parameter.numel() for parameter in agent.parameters() if parameter.requires_grad)
    assert forecast(lidar, contract).memory.parameters == trained
