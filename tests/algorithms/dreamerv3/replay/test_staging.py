"""Prefetched batches and transfers; tests that need a GPU are skipped without one."""

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.replay.staging import Transfer
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from tests.algorithms.dreamerv3.replay.test_buffer import filled, make, numbers, states_for, steps

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_prefetched_batches_are_the_same_in_the_same_order() -> None:
    plain, ahead = filled(97), filled(97, prefetch=True)
    ahead._prefetched = None  # drawn by `filled`
    ahead._windows.generator = make()._windows.generator
    plain._windows.generator = make()._windows.generator
    for _ in range(4):
        assert torch.equal(plain.sample(8, 5)[1], ahead.sample(8, 5)[1])


def test_prefetched_batch_is_drawn_again_if_its_steps_are_overwritten() -> None:
    replay = filled(40, prefetch=True)
    replay.sample(30, 5)
    replay.add(0, steps(40, 60))
    assert numbers(replay.sample(30, 5)[0]).min() > 20


def test_prefetched_batch_is_kept_if_its_steps_are_still_held() -> None:
    replay = filled(20, prefetch=True)
    replay.sample(8, 5)
    assert replay._prefetched is not None
    expected = replay._prefetched[0]
    replay.add(0, steps(20, 40))
    assert torch.equal(replay.sample(8, 5)[1], expected)


def test_pending_latents_are_stored_before_steps_are_added() -> None:
    replay = filled(40, prefetch=True)
    _, places = replay.sample(500, 5)
    replay.write_back(places, states_for(places))
    replay.add(0, steps(40, 43))
    assert replay._rings["deter"][:3, 0].tolist() == [40 / 1024, 41 / 1024, 42 / 1024]
    assert torch.equal(replay._rings["deter"][3:, 0], (torch.arange(3, 40) / 1024 + 1).half())


def test_at_most_the_latents_of_one_update_are_pending() -> None:
    replay = filled(40, prefetch=True)
    before = replay._rings["deter"].clone()
    _, first = replay.sample(1, 5)
    replay.write_back(first, states_for(first))
    assert torch.equal(replay._rings["deter"], before)
    _, second = replay.sample(1, 5)
    replay.write_back(second, states_for(second))
    assert torch.equal(replay._rings["deter"][first[0], 0], (first[0] / 1024 + 1).half())


def test_tensors_already_on_the_device_are_not_copied() -> None:
    tensor = torch.ones(3)
    transfer = Transfer({"x": tensor}, torch.device("cpu"))
    assert transfer.on_stream()["x"] is tensor
    assert transfer.on_host()["x"] is tensor


@needs_gpu
@pytest.mark.parametrize("rings", ["cpu", "cuda"])
def test_batches_arrive_complete_on_the_gpu_without_synchronisation(rings: str) -> None:
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
def test_latents_are_written_back_from_the_gpu(rings: str) -> None:
    replay = filled(40, device=rings, target="cuda")
    _, places = replay.sample(500, 6)
    states = states_for(places.cpu())
    replay.write_back(places, State(states.deter.cuda(), states.stoch.cuda()))
    replay.add(0, steps(40, 41))  # stores pending latents
    assert torch.equal(replay._rings["deter"][2:, 0].cpu(), (torch.arange(2, 40) / 1024 + 1).half())


@needs_gpu
@pytest.mark.parametrize("rings", ["cpu", "cuda"])
def test_step_in_several_windows_keeps_the_last_state_on_a_gpu(rings: str) -> None:
    onto_gpu, plain = filled(40, device=rings, target="cuda"), filled(40)
    _, places = plain.sample(500, 6)
    states = states_for(torch.arange(places.numel()).view(places.shape) % 1000)
    plain.write_back(places, states)
    onto_gpu.write_back(places.to(rings), State(states.deter.cuda(), states.stoch.cuda()))
    onto_gpu.add(0, steps(40, 41))
    plain.add(0, steps(40, 41))
    for name in ("deter", "stoch"):
        assert torch.equal(onto_gpu._rings[name].cpu(), plain._rings[name])
