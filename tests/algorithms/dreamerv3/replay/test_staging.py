"""Batches that are drawn one ahead; what a GPU alone can show is skipped without one."""

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.replay.staging import Transfer
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from tests.algorithms.dreamerv3.replay.test_buffer import filled, make, numbers, states_for, steps

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_batches_drawn_ahead_are_the_same_in_the_same_order() -> None:
    plain, ahead = filled(97), filled(97, ahead=True)
    ahead._next = None  # what `filled` used up
    ahead._windows.generator = make()._windows.generator
    plain._windows.generator = make()._windows.generator
    for _ in range(4):
        assert torch.equal(plain.sample(8, 5)[1], ahead.sample(8, 5)[1])


def test_a_batch_drawn_ahead_is_drawn_anew_when_its_steps_were_overwritten() -> None:
    replay = filled(40, ahead=True)
    replay.sample(30, 5)
    replay.add(0, steps(40, 60))
    assert numbers(replay.sample(30, 5)[0]).min() > 20


def test_a_batch_drawn_ahead_stays_when_its_steps_are_still_there() -> None:
    replay = filled(20, ahead=True)
    replay.sample(8, 5)
    assert replay._next is not None
    expected = replay._next[0]
    replay.add(0, steps(20, 40))
    assert torch.equal(replay.sample(8, 5)[1], expected)


def test_latents_on_their_way_are_written_before_steps_are_added() -> None:
    replay = filled(40, ahead=True)
    _, places = replay.sample(500, 5)
    replay.write_back(places, states_for(places))
    replay.add(0, steps(40, 43))
    assert replay._rings["deter"][:3, 0].tolist() == [40 / 1024, 41 / 1024, 42 / 1024]
    assert torch.equal(replay._rings["deter"][3:, 0], (torch.arange(3, 40) / 1024 + 1).half())


def test_the_latents_of_one_update_at_most_are_on_their_way() -> None:
    replay = filled(40, ahead=True)
    before = replay._rings["deter"].clone()
    _, first = replay.sample(1, 5)
    replay.write_back(first, states_for(first))
    assert torch.equal(replay._rings["deter"], before)
    _, second = replay.sample(1, 5)
    replay.write_back(second, states_for(second))
    assert torch.equal(replay._rings["deter"][first[0], 0], (first[0] / 1024 + 1).half())


def test_what_is_where_it_should_be_stays_as_it_is() -> None:
    tensor = torch.ones(3)
    transfer = Transfer({"x": tensor}, torch.device("cpu"))
    assert transfer.on_stream()["x"] is tensor
    assert transfer.on_host()["x"] is tensor


@needs_gpu
@pytest.mark.parametrize("rings", ["cpu", "cuda"])
def test_batches_arrive_whole_on_the_gpu_and_nothing_waits_for_it(rings: str) -> None:
    replay, seen = make(device=rings, target="cuda"), []
    torch.cuda.set_sync_debug_mode("error")
    try:
        for first in range(0, 200, 10):
            replay.add(0, steps(first, first + 10))
            batch, places = replay.sample(8, 5)
            seen.append((batch, places))
            replay.write_back(
                places,
                State(batch.carry.deter[:, None].expand(-1, 5, -1), batch.carry.stoch[:, None].expand(-1, 5, -1)),
            )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for batch, places in seen:
        number = numbers(batch).cpu()
        assert torch.equal(number, number[:, :1] + torch.arange(5))
        assert torch.equal(number % 40, places.cpu())


@needs_gpu
@pytest.mark.parametrize("rings", ["cpu", "cuda"])
def test_latents_return_from_the_gpu(rings: str) -> None:
    replay = filled(40, device=rings, target="cuda")
    _, places = replay.sample(500, 6)
    states = states_for(places.cpu())
    replay.write_back(places, State(states.deter.cuda(), states.stoch.cuda()))
    replay.add(0, steps(40, 41))  # latents on their way to the CPU are there now
    assert torch.equal(replay._rings["deter"][2:, 0].cpu(), (torch.arange(2, 40) / 1024 + 1).half())


@needs_gpu
@pytest.mark.parametrize("rings", ["cpu", "cuda"])
def test_where_windows_overlap_a_step_keeps_the_state_of_the_last_on_a_gpu_too(rings: str) -> None:
    onto_gpu, plain = filled(40, device=rings, target="cuda"), filled(40)
    _, places = plain.sample(500, 6)
    states = states_for(torch.arange(places.numel()).view(places.shape) % 1000)
    plain.write_back(places, states)
    onto_gpu.write_back(places.to(rings), State(states.deter.cuda(), states.stoch.cuda()))
    onto_gpu.add(0, steps(40, 41))
    plain.add(0, steps(40, 41))
    for name in ("deter", "stoch"):
        assert torch.equal(onto_gpu._rings[name].cpu(), plain._rings[name])
