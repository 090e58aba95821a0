"""The fused optimiser against LaProp and Agent.update_slow_critic."""

import copy
from typing import Any

import pytest
import torch
from ray.rllib.utils.numpy import convert_to_numpy
from ray.rllib.utils.torch_utils import convert_to_torch_tensor
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.laprop import CHUNK, FusedLaProp
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE

SHAPES = [(7, 11), (65, 63), (1,), (64,), (3, 5, 2), (CHUNK + 1,)]  # one element to three chunks, most with padding
GROUPS = {"world_model": ([0, 1], 1e-3), "actor": ([5, 2], 3e-3), "critic": ([3, 4], 1e-2)}  # not in the flat order
SLOW_RATE = 0.02


def close(found: Tensor, expected: Tensor, relative: float = 1e-6) -> None:
    """Compare within a fraction of the tensor's largest number."""
    torch.testing.assert_close(found, expected, rtol=0.0, atol=relative * float(expected.detach().abs().max()))


def rounded(values: Tensor) -> Tensor:
    """Round to bfloat16 as a kernel does: to the nearest on a GPU, towards zero in Triton's interpreter."""
    if DEVICE == "cuda":
        return values.to(torch.bfloat16)
    return (values.view(torch.int32) >> 16).to(torch.int16).view(torch.bfloat16)


class Pair:
    """The same parameters twice, with LaProp and in flat storage with the fused optimiser."""

    def __init__(self, scale: float = 1.0, operand: torch.dtype = torch.bfloat16, **options: Any) -> None:
        self.generator = torch.Generator().manual_seed(1)
        self.plain = [nn.Parameter(scale * self._draw(shape)) for shape in SHAPES]
        self.parameters = [nn.Parameter(parameter.detach().clone()) for parameter in self.plain]
        self.laprop, self.optimizer = (
            self._laprop(parameters, **options) for parameters in (self.plain, self.parameters)
        )
        self.slow = [nn.Parameter(self._draw(SHAPES[i]), requires_grad=False) for i in GROUPS["critic"][0]]
        self.plain_slow = [follower.detach().clone() for follower in self.slow]
        leaders = [self.parameters[i] for i in GROUPS["critic"][0]]
        self.flat = Flat(self.parameters, operand, list(zip(self.slow, leaders, strict=True)))
        self.fused = FusedLaProp(self.flat, self.optimizer, SLOW_RATE)

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator).to(DEVICE)

    def _laprop(self, parameters: list[nn.Parameter], **options: Any) -> LaProp:
        return LaProp(
            [{"name": n, "params": [parameters[i] for i in at], "lr": lr} for n, (at, lr) in GROUPS.items()], **options
        )

    def set_gradients(self, scale: float = 1.0) -> None:
        for plain, parameter in zip(self.plain, self.parameters, strict=True):
            plain.grad = scale * self._draw(tuple(plain.shape))
            self.flat.view(parameter).grad.copy_(plain.grad)

    def step(self, scale: float = 1.0) -> None:
        self.set_gradients(scale)
        self.laprop.step()
        torch._foreach_lerp_(self.plain_slow, [self.plain[i].detach() for i in GROUPS["critic"][0]], SLOW_RATE)
        self.fused.step()

    def check(self) -> None:
        for plain, parameter in zip(self.plain, self.parameters, strict=True):
            close(parameter, plain)
            for name in ("momentum", "square", "step"):
                close(self.optimizer.state[parameter][name], self.laprop.state[plain][name])
        for name in GROUPS:
            close(self.optimizer.norms[name], self.laprop.norms[name])
        for follower, expected in zip(self.slow, self.plain_slow, strict=True):
            close(follower, expected)


@pytest.mark.parametrize(
    ("scale", "options"),
    [
        (
            1.0,
            {"warmup": 4},
        ),  # gradients as large as their parameters: some are clipped; the warm-up ends during the test
        (1e-3, {"warmup": 0}),  # no gradient is clipped
        (1e3, {"warmup": 0, "clip": 0.01}),  # all are clipped
        (1e-18, {"warmup": 0}),  # squares are denormal in float32
    ],
)
def test_ten_steps_equal_laprops(scale: float, options: dict[str, float]) -> None:
    pair = Pair(**options)
    for _ in range(10):
        pair.step(scale)
    pair.check()


def test_parameters_and_gradients_of_zero_equal_laprops() -> None:
    pair = Pair(scale=0.0, warmup=0)
    pair.step(0.0)
    pair.step(1.0)
    pair.check()


def test_measuring_gives_the_norms_and_counts_no_step() -> None:
    pair = Pair()
    pair.set_gradients()
    pair.laprop.measure()
    pair.fused.measure()
    assert {n: float(v) for n, v in pair.optimizer.norms.items()} == pytest.approx(
        {n: float(v) for n, v in pair.laprop.norms.items()}, rel=1e-6
    )
    assert all(norm.shape == () for norm in pair.optimizer.norms.values())
    assert int(pair.optimizer.state[pair.parameters[0]]["step"]) == 0


def test_measuring_and_scheduling_early_changes_nothing() -> None:
    early, plain = Pair(), Pair()
    for _ in range(2):
        early.set_gradients()
        early.fused.schedule()
        early.fused.measure()
        early.fused.step()
        plain.step()
    assert torch.equal(early.flat.values, plain.flat.values)


def test_a_step_can_be_repeated_bit_for_bit() -> None:
    first, second = Pair(), Pair()
    for pair in (first, second):
        pair.step()
        pair.step()
    assert torch.equal(first.flat.values, second.flat.values)
    assert torch.equal(first.fused.momentum, second.fused.momentum)


@pytest.mark.parametrize("decay", [(0, 0), (500, 5000)])
def test_the_schedule_equals_laprops_at_every_step_count(decay: tuple[int, int]) -> None:
    pair = Pair(warmup=1000, decay=decay)
    fused_step, plain_step = pair.optimizer.state[pair.parameters[0]]["step"], torch.zeros((), device=DEVICE)
    for made in [0, 1, 2, 3, 4, 5, 9, 99, 498, 499, 500, 501, 999, 1000, 4000, 20_000, 999_999]:
        fused_step.fill_(float(made))
        pair.fused.schedule()
        expected = pair.laprop._schedule(plain_step.fill_(float(made)), torch.float32)
        assert pair.fused._schedule.tolist() == pytest.approx([float(number) for number in expected], rel=1e-6)
        assert int(fused_step) == made + 1


def test_the_padding_stays_zero() -> None:
    pair = Pair()
    pair.flat.gradients.fill_(float("nan"))  # the padding is never read
    pair.step()
    held = torch.zeros_like(pair.flat.values, dtype=torch.bool)
    for parameter in [*pair.parameters, *pair.slow]:
        pair.flat.segment(held, parameter).fill_(True)
    assert not held.all()
    assert not pair.flat.values[~held].any()
    moments = torch.stack([pair.fused.momentum, pair.fused.square])
    assert not moments[:, ~held[: len(pair.flat.gradients)]].any()
    pair.check()


def test_a_nan_gradient_makes_its_complete_tensor_nan_as_in_laprop() -> None:
    pair = Pair()
    pair.set_gradients()
    for gradient in (pair.plain[1].grad, pair.flat.view(pair.parameters[1]).grad):
        assert gradient is not None
        gradient[0, 0] = float("nan")
    pair.laprop.step()
    pair.fused.step()
    for plain, parameter in zip(pair.plain, pair.parameters, strict=True):
        assert torch.equal(plain.isnan(), parameter.isnan())


def test_the_operand_copy_is_the_new_values_rounded() -> None:
    pair = Pair()
    before = pair.flat.low.clone()
    pair.step()
    assert torch.equal(pair.flat.low, rounded(pair.flat.values))
    assert not torch.equal(pair.flat.low, before)


def test_a_float32_operand_uses_the_values_themselves() -> None:
    pair = Pair(operand=torch.float32)
    pair.step()
    pair.check()


def test_the_slow_critic_moves_as_in_the_agent() -> None:
    torch.manual_seed(0)
    agent = Agent(SIZES["nano"], 5, ActionKind(2, discrete=False)).to(DEVICE)
    critic, slow = list(agent.critic.parameters()), list(agent.slow_critic.parameters())
    flat = Flat(critic, torch.bfloat16, list(zip(slow, critic, strict=True)))
    fused = FusedLaProp(flat, LaProp(critic, lr=0.1, warmup=0), SLOW_RATE)
    flat.gradients.normal_()
    expected = copy.deepcopy(agent)
    fused.step()
    expected.critic.load_state_dict(agent.critic.state_dict())
    expected.update_slow_critic(SLOW_RATE)
    for found, expected_slow in zip(slow, expected.slow_critic.parameters(), strict=True):
        close(found, expected_slow)


def test_an_idle_group_and_its_followers_do_not_move() -> None:
    pair = Pair()
    pair.step()
    before, slow = pair.parameters[3].detach().clone(), pair.slow[0].clone()
    momentum = pair.optimizer.state[pair.parameters[3]]["momentum"].clone()
    fused = FusedLaProp(pair.flat, pair.optimizer, SLOW_RATE, idle=["critic"])
    pair.optimizer.norms.clear()
    pair.set_gradients()
    fused.step()
    assert set(pair.optimizer.norms) == {"world_model", "actor"}
    assert torch.equal(pair.parameters[3], before)
    assert torch.equal(pair.slow[0], slow)
    assert torch.equal(pair.optimizer.state[pair.parameters[3]]["momentum"], momentum)


def test_an_existing_state_is_kept() -> None:
    pair = Pair()
    pair.step()
    pair.fused = FusedLaProp(pair.flat, pair.optimizer, SLOW_RATE)
    pair.step()
    pair.check()


def test_changed_learning_rates_apply_after_loading_them() -> None:
    pair = Pair()
    for optimizer in (pair.laprop, pair.optimizer):
        optimizer.param_groups[1]["lr"] = 0.05
    pair.fused.load_learning_rates()
    pair.step()
    pair.check()


@pytest.mark.parametrize("through_rllib", [False, True])
def test_a_checkpoint_loads_into_the_flat_buffers(through_rllib: bool) -> None:
    saved, loaded = Pair(), Pair()
    for _ in range(2):
        saved.step()
    state = copy.deepcopy(saved.optimizer.state_dict())
    if through_rllib:
        state["state"] = convert_to_torch_tensor(convert_to_numpy(state["state"]), device=DEVICE)
    addresses = [
        loaded.optimizer.state[p][name].data_ptr() for p in loaded.parameters for name in ("momentum", "square")
    ]
    loaded.optimizer.load_state_dict(state)
    assert addresses == [
        loaded.optimizer.state[p][name].data_ptr() for p in loaded.parameters for name in ("momentum", "square")
    ]
    assert torch.equal(loaded.fused.momentum, saved.fused.momentum)
    assert torch.equal(loaded.fused.square, saved.fused.square)
    loaded.flat.values.copy_(saved.flat.values)
    loaded.generator.set_state(saved.generator.get_state())
    for pair in (saved, loaded):  # the step count was loaded as well
        pair.set_gradients()
        pair.fused.step()
    assert torch.equal(loaded.flat.values, saved.flat.values)


def test_laprop_loads_a_checkpoint_of_the_fused_optimiser() -> None:
    pair = Pair()
    pair.step()
    alone = LaProp([{"params": group["params"]} for group in pair.laprop.param_groups])
    alone.load_state_dict(copy.deepcopy(pair.optimizer.state_dict()))
    for plain, parameter in zip(pair.plain, pair.parameters, strict=True):
        assert torch.equal(alone.state[plain]["momentum"], pair.optimizer.state[parameter]["momentum"])


def test_storage_and_optimiser_need_the_same_parameters() -> None:
    pair = Pair()
    with pytest.raises(ValueError, match="different parameters"):
        FusedLaProp(pair.flat, LaProp(pair.parameters[1:]), SLOW_RATE)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA GPU")
def test_a_captured_step_equals_an_eager_one() -> None:
    captured, eager = Pair(), Pair()
    captured.step()
    eager.step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured.fused.step()
    for _ in range(3):
        captured.set_gradients()
        graph.replay()
        eager.step()
    assert torch.equal(captured.flat.values, eager.flat.values)
    assert torch.equal(captured.flat.low, eager.flat.low)
