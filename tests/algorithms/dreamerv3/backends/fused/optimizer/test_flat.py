"""Flat parameter storage: layout, and use by modules and checkpoints."""

import copy

import pytest
import torch
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import ALIGNMENT, Flat
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE


def some(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator).to(DEVICE)) for shape in shapes]


def inside(tensor: Tensor, buffer: Tensor) -> bool:
    first, size = buffer.data_ptr(), buffer.element_size()
    return first <= tensor.data_ptr() and tensor.data_ptr() + tensor.numel() * size <= first + buffer.numel() * size


def flat_agent(operand: torch.dtype = torch.bfloat16) -> tuple[Agent, Flat]:
    torch.manual_seed(0)
    agent = Agent(SIZES["nano"], 5, ActionKind(2, discrete=False)).to(DEVICE)
    pairs = list(zip(agent.slow_critic.parameters(), agent.critic.parameters(), strict=True))
    return agent, Flat([p for p in agent.parameters() if p.requires_grad], operand, pairs)


def test_parameters_keep_their_values_and_become_views() -> None:
    parameters = some((3, 5), (7,))
    before = [parameter.detach().clone() for parameter in parameters]
    flat = Flat(parameters, torch.bfloat16)
    assert all(torch.equal(parameter, value) for parameter, value in zip(parameters, before, strict=True))
    assert all(inside(parameter, flat.values) for parameter in parameters)


def test_a_parameter_view_has_value_operand_copy_and_gradient() -> None:
    parameters = some((3, 5), (7, 2))
    flat = Flat(parameters, torch.bfloat16)
    view = flat.view(parameters[1])
    assert view.value.data_ptr() == parameters[1].data_ptr()
    assert torch.equal(view.low, parameters[1].to(torch.bfloat16))
    assert inside(view.low, flat.low)
    assert inside(view.grad, flat.gradients)
    assert view.value.shape == view.low.shape == view.grad.shape == (7, 2)
    assert (view.value.dtype, view.low.dtype, view.grad.dtype) == (torch.float32, torch.bfloat16, torch.float32)


def test_a_float32_operand_needs_no_copy() -> None:
    parameters = some((3, 5))
    flat = Flat(parameters, torch.float32)
    view = flat.view(parameters[0])
    assert flat.low is flat.values
    assert view.low is view.value


def test_tensors_start_at_multiples_of_the_alignment_in_the_given_order() -> None:
    parameters = some((3, 5), (ALIGNMENT,), (ALIGNMENT + 1,), (2, 2))
    flat = Flat(parameters, torch.bfloat16)
    assert [flat.start(parameter) // ALIGNMENT for parameter in parameters] == [0, 1, 2, 4]


def test_neighbours_are_joined_by_rows() -> None:
    parameters = some((2, 64), (3, 64), (4, 64))
    flat = Flat(parameters, torch.bfloat16)
    joined = flat.joined(parameters[1:])
    assert torch.equal(joined.value, torch.cat([p.detach() for p in parameters[1:]]))
    assert torch.equal(joined.low, joined.value.to(torch.bfloat16))
    joined.grad.fill_(1.0)
    assert [float(flat.view(parameter).grad.sum()) for parameter in parameters] == [0.0, 3 * 64, 4 * 64]


@pytest.mark.parametrize(
    ("shapes", "chosen"),
    [
        ([(2, 64), (3, 64), (4, 64)], [0, 2]),  # one in between
        ([(2, 64), (3, 64)], [1, 0]),  # wrong order
        ([(2, 5), (3, 5)], [0, 1]),  # padding in between
        ([(2, 64), (3, 32)], [0, 1]),  # different row lengths
        ([(2, 64)], []),
    ],
)
def test_parameters_that_are_not_adjacent_are_not_joined(shapes: list[tuple[int, ...]], chosen: list[int]) -> None:
    parameters = some(*shapes)
    flat = Flat(parameters, torch.float32)
    with pytest.raises(ValueError, match="not rows of one matrix"):
        flat.joined([parameters[i] for i in chosen])


def test_a_leader_is_not_joined_with_its_follower() -> None:
    leader, follower = some((2, 64), (2, 64))
    flat = Flat([leader], torch.float32, [(follower, leader)])
    with pytest.raises(ValueError, match="not rows of one matrix"):
        flat.joined([leader, follower])


def test_followers_have_no_gradients() -> None:
    agent, flat = flat_agent()
    follower = next(agent.slow_critic.parameters())
    view = flat.view(follower)
    assert inside(view.value, flat.values)
    assert torch.equal(view.low, follower.to(torch.bfloat16))
    assert view.grad.numel() == 0
    assert len(flat.gradients) < len(flat.values)


def test_loading_an_agents_state_writes_to_the_flat_buffer() -> None:
    agent, flat = flat_agent()
    addresses = [parameter.data_ptr() for parameter in agent.parameters()]
    state = {name: torch.full_like(tensor, 0.3) for name, tensor in agent.state_dict().items()}
    agent.load_state_dict(state)
    assert [parameter.data_ptr() for parameter in agent.parameters()] == addresses
    assert flat.values.unique().tolist() == pytest.approx([0.0, 0.3])  # 0.0 is the padding


def test_refresh_updates_the_operand_copy() -> None:
    agent, flat = flat_agent()
    agent.load_state_dict({name: tensor + 0.3 for name, tensor in agent.state_dict().items()})
    assert not torch.equal(flat.low, flat.values.to(torch.bfloat16))
    flat.refresh()
    assert torch.equal(flat.low, flat.values.to(torch.bfloat16))


def test_a_copy_of_the_agent_leaves_the_storage() -> None:
    agent, flat = flat_agent()
    assert not any(inside(parameter, flat.values) for parameter in copy.deepcopy(agent).parameters())


def test_invalid_parameters_are_refused() -> None:
    one, other, another, long = some((2,), (2,), (2,), (3,))
    with pytest.raises(ValueError, match="twice"):
        Flat([one, one], torch.float32)
    with pytest.raises(ValueError, match="float32"):
        Flat([nn.Parameter(one.double())], torch.float32)
    with pytest.raises(ValueError, match="leader"):
        Flat([one], torch.float32, [(other, one), (another, one)])
    with pytest.raises(ValueError, match="leader"):
        Flat([one], torch.float32, [(other, long)])
    with pytest.raises(ValueError, match="leader"):
        Flat([one], torch.float32, [(long, one)])
