"""Replay buffer: windows, draws, latents and memory."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.replay.steps import Steps
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES, NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

O, A, D, S, C = 3, 2, 6, 4, 5  # noqa: E741  # letters of the glossary
SIZE = NetworkSize(deter=D, hidden=4, classes=C, units=4, stoch=S, blocks=2)
EPISODE = 7  # steps


def make(capacity: int = 40, num_streams: int = 1, seed: int = 0, **options: Any) -> LatentReplay:
    return LatentReplay(
        capacity=capacity, num_streams=num_streams, observation_size=O, actions=A, size=SIZE, seed=seed, **options
    )


def steps(first: int, last: int, stream: int = 0) -> Steps:
    """Return the steps first to last - 1 of a stream; all values encode the number, observations also the stream."""
    number = np.arange(first, last)
    return Steps(
        observation=np.stack([number, number + 1000 * stream, 0 * number], 1).astype(np.float32),
        action=np.stack([number + 0.5, -number], 1).astype(np.float32),
        reward=(number / 10).astype(np.float32),
        is_first=number % EPISODE == 0,
        is_last=number % EPISODE == EPISODE - 1,
        is_terminal=number % (2 * EPISODE) == EPISODE - 1,
        deter=np.repeat(number[:, None] / 1024, D, 1).astype(np.float16),
        stoch=((number[:, None] + np.arange(S)) % C).astype(np.uint8),
    )


def filled(count: int, chunk: int = 5, **options: Any) -> LatentReplay:
    """Return a replay of one stream of `count` steps whose fresh windows have all been used."""
    replay = make(**options)
    for first in range(0, count, chunk):
        replay.add(0, steps(first, min(first + chunk, count)))
    replay.sample(100, 1)
    return replay


def numbers(batch: Batch) -> Tensor:
    """Return the numbers of the steps (B, T)."""
    return batch.observation[..., 0].long()


def one_hot(number: Tensor) -> Tensor:
    return torch.nn.functional.one_hot((number[:, None] + torch.arange(S)) % C, C).flatten(1).float()


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [12, 40, 41, 97, 200])
def test_windows_are_consecutive_before_and_after_the_ring_wraps(count: int) -> None:
    drawn = numbers(filled(count).sample(64, 6)[0])
    assert torch.equal(drawn, drawn[:, :1] + torch.arange(6))


@pytest.mark.parametrize("count", [12, 40, 41, 97, 200])
def test_exactly_the_steps_held_are_drawn_except_the_oldest(count: int) -> None:
    """The oldest step serves as context only."""
    drawn = numbers(filled(count).sample(1000, 6)[0])
    assert set(drawn.flatten().tolist()) == set(range(max(count - 40, 0) + 1, count))


def test_reward_flags_and_action_belong_to_the_observation() -> None:
    batch, _ = filled(97).sample(64, 6)
    number = numbers(batch)
    assert torch.equal(batch.reward, number / 10)
    assert torch.equal(batch.action, torch.stack([number + 0.5, -number], -1))
    assert torch.equal(batch.is_first, (number % EPISODE == 0).float())
    assert torch.equal(batch.is_last, (number % EPISODE == EPISODE - 1).float())
    assert torch.equal(batch.is_terminal, (number % (2 * EPISODE) == EPISODE - 1).float())


def test_context_step_gives_carry_and_previous_action() -> None:
    batch, _ = filled(97).sample(64, 6)
    before = numbers(batch)[:, 0] - 1
    assert torch.equal(batch.previous_action, torch.stack([before + 0.5, -before], -1))
    assert torch.equal(batch.carry.deter, (before[:, None] / 1024).expand(-1, D))
    assert torch.equal(batch.carry.stoch, one_hot(before))


def test_batch_has_the_shapes_and_types_of_the_losses() -> None:
    batch, places = filled(97).sample(8, 6)
    shapes = {name: tuple(value.shape) for name, value in vars(batch).items() if name != "carry"}
    flags = dict.fromkeys(["reward", "is_first", "is_last", "is_terminal"], (8, 6))
    assert shapes == {"observation": (8, 6, O), "action": (8, 6, A), "previous_action": (8, A), **flags}
    assert (tuple(batch.carry.deter.shape), tuple(batch.carry.stoch.shape)) == ((8, D), (8, S * C))
    assert {value.dtype for value in (*list(vars(batch).values())[:-1], *batch.carry)} == {torch.float32}
    assert (tuple(places.shape), places.dtype) == ((8, 6), torch.int64)


def test_streams_do_not_mix() -> None:
    replay = make(capacity=60, num_streams=3)
    for stream in (0, 2):
        replay.add(stream, steps(0, 33, stream))
    batch, places = replay.sample(200, 6)
    stream = (batch.observation[..., 1] - batch.observation[..., 0]).long() // 1000
    assert set(stream.flatten().tolist()) == {0, 2}
    assert torch.equal(stream, stream[:, :1].expand(-1, 6))
    assert torch.equal(places // 20, stream)


def test_adding_more_steps_than_a_ring_holds_keeps_the_newest() -> None:
    replay = make(capacity=10)
    replay.add(0, steps(0, 3))
    replay.add(0, steps(3, 38))
    assert set(numbers(replay.sample(300, 2)[0]).flatten().tolist()) == set(range(29, 38))


@pytest.mark.parametrize("lengths", [(3, 4), (1, 0, 9), (6, 2, 7), (30,), (8, 25)])
def test_pieces_added_together_fill_the_rings_like_one_after_the_other(lengths: tuple[int, ...]) -> None:
    alone, together = make(num_streams=2), make(num_streams=2)
    for replay in (alone, together):
        replay.add(0, steps(0, 5))
    # of stream 0 also an episode that abandons the one before, at step 5 and within the pieces
    pieces = [(0, steps(EPISODE, EPISODE + 3)), (1, steps(0, 4, stream=1)), (0, steps(0, 2))]
    pieces += [(at % 2, steps(10, 10 + length, stream=at % 2)) for at, length in enumerate(lengths)]
    for stream, piece in pieces:
        alone.add(stream, piece)
    together.add_all(together.collect(pieces))
    assert np.array_equal(alone._windows.added, together._windows.added)
    for name, ring in alone._rings.items():
        held = alone._windows.added.clip(max=20)
        for stream, count in enumerate(held.tolist()):
            places = slice(20 * stream, 20 * stream + count)
            assert torch.equal(ring[places], together._rings[name][places]), name


def test_abandoned_episode_ends_where_the_next_begins() -> None:
    """As published, for an env runner that failed before is_last; within one addition and between two."""
    replay = make()
    for _ in range(2):
        abandoned = steps(0, 8)
        abandoned.is_last[:] = False
        replay.add(0, abandoned)
    batch, _ = replay.sample(1, 15)
    assert batch.is_last[0].nonzero().flatten().tolist() == [5, 6, 13]  # steps 6, 7 and 14 of a window from step 1


# --- draws ------------------------------------------------------------------------------------------------------------


def test_windows_are_drawn_uniformly() -> None:
    """Chi-square test over the 45, 15 and 0 windows of rings of 50; its 0.1 % point is 98.3 (59 degrees of freedom)."""
    replay = make(capacity=150, num_streams=3)
    for stream, count in enumerate([70, 20, 4]):
        replay.add(stream, steps(0, count, stream))
    while replay._windows._fresh(1, 5)[0].size:
        pass
    _, places = replay.sample(20_000, 5)
    counts = Counter(places[:, 0].tolist())
    assert len(counts) == 45 + 15
    expected = 20_000 / 60
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 98.3


def test_same_seed_draws_the_same_batches() -> None:
    places = [[replay.sample(8, 5)[1] for _ in range(3)] for replay in (filled(90, seed=4), filled(90, seed=4))]
    assert all(torch.equal(one, other) for one, other in zip(*places, strict=True))


def test_another_seed_draws_other_batches() -> None:
    assert not torch.equal(filled(90, seed=4).sample(8, 5)[1], filled(90, seed=5).sample(8, 5)[1])


def test_reseeding_draws_the_same_batches_for_the_same_number_only() -> None:
    drawn = []
    for number in (1, 1, 2):
        replay = filled(90, seed=4, prefetch=True)
        replay.reseed(4, number)
        drawn.append(replay.sample(8, 5)[1])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_fresh_windows_come_first_in_order_of_age_and_once() -> None:
    replay = make(capacity=200, num_streams=2)
    for stream in (0, 1):
        replay.add(stream, steps(0, 14, stream))
    batches = [numbers(replay.sample(3, 4)[0])[:, 0].tolist() for _ in range(2)]
    assert batches == [[1, 1, 5], [5, 9, 9]]
    assert not replay._windows._fresh(3, 4)[0].size


def test_every_t_new_steps_make_one_fresh_window() -> None:
    """Fresh windows do not overlap: every step but the first of a stream is in one of them."""
    replay, seen = make(capacity=100), []
    for first in range(0, 80, 3):
        replay.add(0, steps(first, first + 3))
        if first >= 6:
            seen += replay._windows._fresh(10, 4)[1].tolist()
    assert seen == list(range(0, 77, 4))


def test_overwritten_fresh_windows_are_skipped() -> None:
    replay = make(capacity=20)
    replay.add(0, steps(0, 50))
    assert [row[0] for row in numbers(replay.sample(4, 4)[0]).tolist()] == [31, 35, 39, 43]


def test_only_the_newest_fresh_windows_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamer_exp.algorithms.dreamerv3.replay.windows.FRESH_WINDOWS", 2)
    replay = make(capacity=100)
    replay.add(0, steps(0, 81))
    assert replay._windows._fresh(10, 4)[1].tolist() == [72, 76]


# --- latents ----------------------------------------------------------------------------------------------------------


def states_for(places: Tensor) -> State:
    """Return states (B, T, ...) that encode their places (B, T)."""
    rows = places.shape[0]
    return State(
        (places[..., None] / 1024 + 1).expand(-1, -1, D), one_hot(places.flatten() + 2).unflatten(0, (rows, -1))
    )


def test_latents_written_back_are_the_carry_of_the_next_batch() -> None:
    replay = filled(40)
    _, places = replay.sample(500, 6)
    replay.write_back(places, states_for(places))
    batch, after = replay.sample(64, 6)
    written = after[:, 0] > 1  # place 0 was only context
    before = (after[:, 0] - 1)[written]
    assert torch.equal(batch.carry.deter[written], (before[:, None] / 1024 + 1).expand(-1, D))
    assert torch.equal(batch.carry.stoch[written], one_hot(before + 2))


def test_latents_are_written_to_their_places_only() -> None:
    replay = filled(40)
    rings = {name: ring.clone() for name, ring in replay._rings.items()}
    _, places = replay.sample(2, 6)
    replay.write_back(places, states_for(places))
    changed = {name: (ring != rings[name]).reshape(40, -1).any(1) for name, ring in replay._rings.items()}
    inside = torch.zeros(40, dtype=torch.bool)
    inside[places.flatten()] = True
    assert torch.equal(changed["deter"], inside)
    assert torch.equal(changed["stoch"], inside)
    assert not any(changed[name].any() for name in ("observation", "action", "reward", "flags"))


def test_step_in_several_windows_keeps_the_last_state() -> None:
    replay = filled(40)
    places = torch.tensor([[3, 4, 5], [5, 6, 7], [4, 5, 6]])
    replay.write_back(places, states_for(torch.arange(9).view(3, 3)))
    kept = torch.tensor([0, 6, 7, 8, 5])  # of steps 3 to 7
    assert torch.equal(replay._rings["deter"][3:8].float(), (kept[:, None] / 1024 + 1).expand(-1, D))
    assert torch.equal(replay._rings["stoch"][3:8], one_hot(kept + 2).unflatten(-1, (S, C)).argmax(-1).byte())


def test_states_may_have_gradients_rounding_errors_and_low_precision() -> None:
    """A straight-through sample is one-hot up to rounding, and bfloat16 under autocast."""
    replay = filled(40)
    _, places = replay.sample(4, 6)
    states = states_for(places)
    rough = State(states.deter.bfloat16(), (states.stoch + 1e-7).requires_grad_())
    replay.write_back(places, rough)
    assert torch.equal(replay._rings["stoch"][places].long(), (places[..., None] + 2 + torch.arange(S)) % C)


def test_latents_are_stored_as_float16_and_class_indices() -> None:
    replay = make()
    assert replay._rings["deter"].dtype == torch.float16
    assert replay._rings["stoch"].dtype == torch.uint8


# --- size -------------------------------------------------------------------------------------------------------------


def test_length_is_the_number_of_steps_held() -> None:
    replay = make(capacity=20, num_streams=2)
    lengths = []
    for stream, count in [(0, 4), (1, 9), (1, 9)]:
        replay.add(stream, steps(0, count))
        lengths.append(len(replay))
    assert lengths == [4, 13, 14]


def test_memory_is_that_of_full_rings() -> None:
    replay = make(capacity=41, num_streams=2)
    assert replay.nbytes == 40 * replay.bytes_per_step == sum(ring.nbytes for ring in replay._rings.values())


def test_step_of_831_floats_takes_less_than_5_kb() -> None:
    replay = LatentReplay(capacity=2, num_streams=1, observation_size=831, actions=2, size=SIZES["XS"], seed=0)
    assert replay.bytes_per_step == 3324 + 8 + 4 + 3 + 1024 + 32


def test_replay_is_ready_with_b_windows() -> None:
    replay, seen = make(), []
    for first in range(10):
        replay.add(0, steps(first, first + 1))
        seen.append(replay.ready(3, 5))
    assert seen == [False] * 7 + [True] * 3


def test_replay_of_fewer_than_b_windows_is_ready_when_full() -> None:
    replay, seen = make(capacity=7), []
    for first in range(8):
        replay.add(0, steps(first, first + 1))
        seen.append(replay.ready(16, 5))
    assert seen == [False] * 6 + [True] * 2


def test_sampling_without_a_window_raises() -> None:
    replay = make()
    replay.add(0, steps(0, 5))
    with pytest.raises(ValueError, match="no stream holds the 6 steps of a window yet; the longest holds 5"):
        replay.sample(2, 5)


def test_window_that_does_not_fit_the_ring_raises() -> None:
    with pytest.raises(ValueError, match="do not fit a ring of 20 places"):
        make(capacity=40, num_streams=2).ready(1, 20)
    with pytest.raises(ValueError, match="capacity 3 gives each of 2 streams a ring of 1 steps"):
        make(capacity=3, num_streams=2)


def test_read_only_arrays_can_be_added(recwarn: pytest.WarningsRecorder) -> None:
    """Ray deserialises arrays as read-only."""
    frozen = steps(0, 10)
    for array in vars(frozen).values():
        array.flags.writeable = False
    replay = make()
    replay.add(0, frozen)
    assert (len(replay), len(recwarn)) == (10, 0)


# --- recorded steps ---------------------------------------------------------------------------------------------------


def test_the_newest_steps_are_in_order_after_the_ring_wrapped() -> None:
    recorded = filled(97).newest(10)
    assert recorded.observation[:, 0].tolist() == list(range(87, 97))
    assert np.array_equal(recorded.action, steps(87, 97).action)
    assert np.array_equal(recorded.reward, steps(87, 97).reward)
    assert np.array_equal(recorded.is_terminal, steps(87, 97).is_terminal)
    assert np.flatnonzero(recorded.is_first).tolist() == [0, 4]  # the piece, and the episode that begins at step 91


def test_every_stream_has_its_share_of_the_newest_steps() -> None:
    replay = make(num_streams=3)
    replay.add(0, steps(0, 12))
    replay.add(2, steps(0, 3, stream=2))
    recorded = replay.newest(12)
    assert recorded.observation[:, 0].tolist() == [8, 9, 10, 11, 0, 1, 2]
    assert recorded.observation[:, 1].tolist() == [8, 9, 10, 11, 2000, 2001, 2002]
    assert np.flatnonzero(recorded.is_first).tolist() == [0, 4]
