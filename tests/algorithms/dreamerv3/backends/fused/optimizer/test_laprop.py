"""The fused optimiser, against LaProp and the agent's own slow critic."""

import copy

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

SHAPES = [(7, 11), (65, 63), (1,), (64,), (3, 5, 2), (CHUNK + 1,)]  # of one number to three chunks, few without padding
GROUPS = {"world_model": ([0, 1], 1e-3), "actor": ([5, 2], 3e-3), "critic": ([3, 4], 1e-2)}  # not in the flat order
SLOW_RATE = 0.02


def close(found: Tensor, wanted: Tensor, relative: float = 1e-6) -> None:
    """To within a share of the tensor's largest number."""
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=relative * float(wanted.detach().abs().max()))


def rounded(values: Tensor) -> Tensor:
    """bfloat16 as a kernel writes it: the nearest on a GPU, while Triton's interpreter cuts the digits off."""
    if DEVICE == "cuda":
        return values.to(torch.bfloat16)
    return (values.view(torch.int32) >> 16).to(torch.int16).view(torch.bfloat16)


class Pair:
    """The same parameters twice: under LaProp alone, and in flat storage."""

    def __init__(self, scale: float = 1.0, operand: torch.dtype = torch.bfloat16, **options: float) -> None:
        self.generator = torch.Generator().manual_seed(1)
        self.plain = [nn.Parameter(scale * self._draw(shape)) for shape in SHAPES]
        self.parameters = [nn.Parameter(parameter.detach().clone()) for parameter in self.plain]
        self.laprop, self.optimizer = (self._laprop(its, **options) for its in (self.plain, self.parameters))
        self.slow = [nn.Parameter(self._draw(SHAPES[i]), requires_grad=False) for i in GROUPS["critic"][0]]
        self.plain_slow = [follower.detach().clone() for follower in self.slow]
        leaders = [self.parameters[i] for i in GROUPS["critic"][0]]
        self.flat = Flat(self.parameters, operand, list(zip(self.slow, leaders, strict=True)))
        self.fused = FusedLaProp(self.flat, self.optimizer, SLOW_RATE)

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator).to(DEVICE)

    def _laprop(self, parameters: list[nn.Parameter], **options: float) -> LaProp:
        return LaProp(
            [{"name": n, "params": [parameters[i] for i in at], "lr": lr} for n, (at, lr) in GROUPS.items()], **options
        )

    def give(self, scale: float = 1.0) -> None:
        for plain, parameter in zip(self.plain, self.parameters, strict=True):
            plain.grad = scale * self._draw(tuple(plain.shape))
            self.flat.leaf(parameter).grad.copy_(plain.grad)

    def step(self, scale: float = 1.0) -> None:
        self.give(scale)
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
        for follower, wanted in zip(self.slow, self.plain_slow, strict=True):
            close(follower, wanted)


@pytest.mark.parametrize(
    ("scale", "options"),
    [
        (1.0, {"warmup": 4}),  # gradients as large as their parameters: some are clipped; the warm-up ends on the way
        (1e-3, {"warmup": 0}),  # none is clipped
        (1e3, {"warmup": 0, "clip": 0.01}),  # all are
        (1e-18, {"warmup": 0}),  # squares too small for float32's normal numbers
    ],
)
def test_ten_steps_are_those_of_laprop(scale: float, options: dict[str, float]) -> None:
    pair = Pair(**options)
    for _ in range(10):
        pair.step(scale)
    pair.check()


def test_parameters_and_gradients_of_zero_are_laprops_too() -> None:
    pair = Pair(scale=0.0, warmup=0)
    pair.step(0.0)
    pair.step(1.0)
    pair.check()


def test_the_norms_are_there_before_the_step_and_count_nothing() -> None:
    pair = Pair()
    pair.give()
    pair.laprop.measure()
    pair.fused.measure()
    assert {n: float(v) for n, v in pair.optimizer.norms.items()} == pytest.approx(
        {n: float(v) for n, v in pair.laprop.norms.items()}, rel=1e-6
    )
    assert all(norm.shape == () for norm in pair.optimizer.norms.values())
    assert int(pair.optimizer.state[pair.parameters[0]]["step"]) == 0


def test_measuring_and_scheduling_ahead_changes_nothing() -> None:
    ahead, at_once = Pair(), Pair()
    for _ in range(2):
        ahead.give()
        ahead.fused.schedule()
        ahead.fused.measure()
        ahead.fused.step()
        at_once.step()
    assert torch.equal(ahead.flat.values, at_once.flat.values)


def test_a_step_repeats_bit_for_bit() -> None:
    first, second = Pair(), Pair()
    for pair in (first, second):
        pair.step()
        pair.step()
    assert torch.equal(first.flat.values, second.flat.values)
    assert torch.equal(first.fused.momentum, second.fused.momentum)


def test_the_schedule_is_laprops_at_every_step_count() -> None:
    pair = Pair(warmup=1000)
    ours, theirs = pair.optimizer.state[pair.parameters[0]]["step"], torch.zeros((), device=DEVICE)
    for made in [0, 1, 2, 3, 4, 5, 9, 99, 498, 499, 500, 501, 999, 1000, 4000, 20_000, 999_999]:
        ours.fill_(float(made))
        pair.fused.schedule()
        wanted = pair.laprop._schedule(theirs.fill_(float(made)), torch.float32)
        assert pair.fused._schedule.tolist() == pytest.approx([float(number) for number in wanted], rel=1e-6)
        assert int(ours) == made + 1


def test_the_padding_stays_zero() -> None:
    pair = Pair()
    pair.flat.gradients.fill_(float("nan"))  # what lies between the tensors is never read
    pair.step()
    held = torch.zeros_like(pair.flat.values, dtype=torch.bool)
    for parameter in [*pair.parameters, *pair.slow]:
        pair.flat.view(held, parameter).fill_(True)
    assert not held.all()
    assert not pair.flat.values[~held].any()
    moments = torch.stack([pair.fused.momentum, pair.fused.square])
    assert not moments[:, ~held[: len(pair.flat.gradients)]].any()
    pair.check()


def test_a_gradient_that_is_not_finite_spoils_its_whole_tensor_as_in_laprop() -> None:
    pair = Pair()
    pair.give()
    for gradient in (pair.plain[1].grad, pair.flat.leaf(pair.parameters[1]).grad):
        assert gradient is not None
        gradient[0, 0] = float("nan")
    pair.laprop.step()
    pair.fused.step()
    for plain, parameter in zip(pair.plain, pair.parameters, strict=True):
        assert torch.equal(plain.isnan(), parameter.isnan())


def test_the_shadow_is_the_new_values_rounded() -> None:
    pair = Pair()
    before = pair.flat.low.clone()
    pair.step()
    assert torch.equal(pair.flat.low, rounded(pair.flat.values))
    assert not torch.equal(pair.flat.low, before)


def test_a_float32_operand_reads_the_values_themselves() -> None:
    pair = Pair(operand=torch.float32)
    pair.step()
    pair.check()


def test_the_slow_critic_follows_the_new_critic_as_the_agent_does() -> None:
    torch.manual_seed(0)
    agent = Agent(SIZES["nano"], 5, ActionKind(2, discrete=False)).to(DEVICE)
    critic, slow = list(agent.critic.parameters()), list(agent.slow_critic.parameters())
    flat = Flat(critic, torch.bfloat16, list(zip(slow, critic, strict=True)))
    fused = FusedLaProp(flat, LaProp(critic, lr=0.1, warmup=0), SLOW_RATE)
    flat.gradients.normal_()
    wanted = copy.deepcopy(agent)
    fused.step()
    wanted.critic.load_state_dict(agent.critic.state_dict())
    wanted.update_slow_critic(SLOW_RATE)
    for found, its in zip(slow, wanted.slow_critic.parameters(), strict=True):
        close(found, its)


def test_an_idle_group_stays_and_nobody_follows_it() -> None:
    pair = Pair()
    pair.step()
    before, slow = pair.parameters[3].detach().clone(), pair.slow[0].clone()
    momentum = pair.optimizer.state[pair.parameters[3]]["momentum"].clone()
    fused = FusedLaProp(pair.flat, pair.optimizer, SLOW_RATE, idle=["critic"])
    pair.optimizer.norms.clear()
    pair.give()
    fused.step()
    assert set(pair.optimizer.norms) == {"world_model", "actor"}
    assert torch.equal(pair.parameters[3], before)
    assert torch.equal(pair.slow[0], slow)
    assert torch.equal(pair.optimizer.state[pair.parameters[3]]["momentum"], momentum)


def test_a_state_that_was_there_is_taken_over() -> None:
    pair = Pair()
    pair.step()
    pair.fused = FusedLaProp(pair.flat, pair.optimizer, SLOW_RATE)
    pair.step()
    pair.check()


def test_changed_learning_rates_hold_once_they_are_read() -> None:
    pair = Pair()
    for optimizer in (pair.laprop, pair.optimizer):
        optimizer.param_groups[1]["lr"] = 0.05
    pair.fused.read_rates()
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
    places = [loaded.optimizer.state[p][name].data_ptr() for p in loaded.parameters for name in ("momentum", "square")]
    loaded.optimizer.load_state_dict(state)
    assert places == [
        loaded.optimizer.state[p][name].data_ptr() for p in loaded.parameters for name in ("momentum", "square")
    ]
    assert torch.equal(loaded.fused.momentum, saved.fused.momentum)
    assert torch.equal(loaded.fused.square, saved.fused.square)
    loaded.flat.values.copy_(saved.flat.values)
    loaded.generator.set_state(saved.generator.get_state())
    for pair in (saved, loaded):  # the step count was loaded too
        pair.give()
        pair.fused.step()
    assert torch.equal(loaded.flat.values, saved.flat.values)


def test_laprop_alone_loads_a_checkpoint_of_it() -> None:
    pair = Pair()
    pair.step()
    alone = LaProp([{"params": group["params"]} for group in pair.laprop.param_groups])
    alone.load_state_dict(copy.deepcopy(pair.optimizer.state_dict()))
    for plain, parameter in zip(pair.plain, pair.parameters, strict=True):
        assert torch.equal(alone.state[plain]["momentum"], pair.optimizer.state[parameter]["momentum"])


def test_storage_and_optimiser_must_hold_the_same_parameters() -> None:
    pair = Pair()
    with pytest.raises(ValueError, match="same parameters"):
        FusedLaProp(pair.flat, LaProp(pair.parameters[1:]), SLOW_RATE)


@pytest.mark.skipif(DEVICE == "cpu", reason="CUDA graphs are a GPU's")
def test_a_captured_step_is_the_eager_one() -> None:
    captured, eager = Pair(), Pair()
    captured.step()
    eager.step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured.fused.step()
    for _ in range(3):
        captured.give()
        graph.replay()
        eager.step()
    assert torch.equal(captured.flat.values, eager.flat.values)
    assert torch.equal(captured.flat.low, eager.flat.low)
