"""Replay file: contents of the folder, continuation after loading, other layouts, refusals."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.replay import file
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from tests.algorithms.dreamerv3.replay.test_buffer import EPISODE, SIZE, C, D, O, S, make, states_for, steps

RING = 40
PARTLY, JUST_FULL, WRAPPED = 23, 40, 97  # steps added to a ring of 40
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak memory from /proc")


def trained(count: int, streams: int = 3, **options: Any) -> LatentReplay:
    """Return a replay after some updates; its streams have `count` steps, count + 2, and so on."""
    replay = make(capacity=RING * streams, num_streams=streams, **options)
    for first in range(0, count, 10):
        for stream in range(streams):
            last = first + 10 if first + 10 < count else count + 2 * stream
            replay.add(stream, steps(first, last, stream))
        if first >= 10:
            update(replay)
    return replay


def update(replay: LatentReplay) -> Batch:
    """Draw a batch and write other latents back."""
    batch, places = replay.sample(6, 5)
    states = states_for(places.cpu())
    replay.write_back(places, State(*(state.to(replay.target) for state in states)))
    return batch


def continued(replay: LatentReplay, count: int) -> list[Tensor]:
    """Return the tensors of the next batches, with new steps added in between."""
    seen: list[Tensor] = []
    for first in range(count, count + 60, 12):
        for _ in range(3):
            batch = update(replay)
            seen += [*list(vars(batch).values())[:-1], *batch.carry]
        for stream in range(len(replay._windows.added)):
            replay.add(stream, steps(first + 2 * stream, first + 12 + 2 * stream, stream))
    return seen


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


def stored(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npy", allow_pickle=False)


# --- continuation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [False, True])
@pytest.mark.parametrize("count", [PARTLY, JUST_FULL, WRAPPED])
def test_loaded_replay_continues_as_the_saved_one(tmp_path: Path, count: int, prefetch: bool) -> None:
    original = trained(count, prefetch=prefetch)
    loaded = make(capacity=3 * RING, num_streams=3, seed=9, prefetch=prefetch)
    file.save(original, tmp_path)
    file.load(loaded, tmp_path)
    assert len(loaded) == len(original)
    assert equal(continued(original, count), continued(loaded, count))


def test_saving_does_not_change_the_next_batches(tmp_path: Path) -> None:
    saved, other = trained(WRAPPED), trained(WRAPPED)
    file.save(saved, tmp_path)
    assert equal(continued(saved, WRAPPED), continued(other, WRAPPED))


def test_prefetched_batch_is_drawn_again_after_saving(tmp_path: Path) -> None:
    """Its fresh windows are not lost, and the following batches are the same as without saving."""
    saved, other = (trained(WRAPPED, prefetch=True) for _ in range(2))
    file.save(saved, tmp_path)
    for _ in range(3):
        assert torch.equal(saved.sample(6, 5)[1], other.sample(6, 5)[1])


def test_loading_replaces_the_previous_contents(tmp_path: Path) -> None:
    original, loaded = trained(PARTLY, prefetch=True), trained(WRAPPED, seed=9, prefetch=True)
    file.save(original, tmp_path)
    file.load(loaded, tmp_path)
    assert equal(continued(original, PARTLY), continued(loaded, PARTLY))


def test_empty_replay_can_be_saved(tmp_path: Path) -> None:
    loaded = trained(PARTLY)
    file.save(make(capacity=3 * RING, num_streams=3), tmp_path)
    file.load(loaded, tmp_path)
    assert len(loaded) == 0


@needs_gpu
@pytest.mark.parametrize("rings", ["cpu", "cuda"])
def test_loaded_replay_on_a_gpu_continues_as_the_saved_one(tmp_path: Path, rings: str) -> None:
    options = {"device": rings, "target": "cuda"}
    original, loaded = trained(WRAPPED, **options), make(capacity=3 * RING, num_streams=3, seed=9, **options)
    file.save(original, tmp_path)
    file.load(loaded, tmp_path)
    assert equal(continued(original, WRAPPED), continued(loaded, WRAPPED))


# --- the folder -------------------------------------------------------------------------------------------------------


def test_files_hold_the_steps_by_stream_and_time(tmp_path: Path) -> None:
    replay = make(capacity=2 * RING, num_streams=2)
    replay.add(0, steps(0, PARTLY))
    replay.add(1, steps(0, WRAPPED, 1))
    file.save(replay, tmp_path / "new" / "folder")
    numbers = np.concatenate([np.arange(PARTLY), np.arange(WRAPPED - RING, WRAPPED)])
    assert np.array_equal(stored(tmp_path / "new" / "folder", "observation")[:, 0], numbers)
    assert np.array_equal(stored(tmp_path / "new" / "folder", "reward"), (numbers / 10).astype(np.float32))


def test_folder_holds_an_array_for_each_field_and_a_json_file(tmp_path: Path) -> None:
    file.save(trained(PARTLY), tmp_path)
    rings = {name: ring.numpy().dtype for name, ring in make()._rings.items()}
    assert {name: stored(tmp_path, name).dtype for name in rings} == rings
    assert {path.name for path in tmp_path.iterdir()} == {*(f"{name}.npy" for name in rings), "replay.json"}
    layout = json.loads((tmp_path / "replay.json").read_text())
    assert (layout["num_streams"], layout["ring"], layout["held"]) == (3, RING, [23, 25, 27])


def test_pending_latents_are_saved(tmp_path: Path) -> None:
    replay = make(prefetch=True)
    replay.add(0, steps(0, PARTLY))
    _, places = replay.sample(500, 5)
    replay.write_back(places, states_for(places))
    file.save(replay, tmp_path)
    assert np.array_equal(stored(tmp_path, "deter")[1:, 0], (np.arange(1, PARTLY) / 1024 + 1).astype(np.float16))


def test_small_pieces_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = trained(WRAPPED)
    file.save(replay, tmp_path / "once")
    monkeypatch.setattr(file, "PIECE_BYTES", 100)
    file.save(replay, tmp_path / "pieces")
    loaded = make(capacity=3 * RING, num_streams=3)
    file.load(loaded, tmp_path / "pieces")
    for name, ring in replay._rings.items():
        assert (tmp_path / "once" / f"{name}.npy").read_bytes() == (tmp_path / "pieces" / f"{name}.npy").read_bytes()
        assert torch.equal(loaded._rings[name], ring)


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.algorithms.dreamerv3.replay import file as replay_file
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.replay.steps import Steps

def memory(field):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024

size = SIZES["nano"]
replay, loaded = (
    LatentReplay(capacity=80_000, num_streams=2, observation_size=831, actions=2, size=size, seed=0) for _ in range(2)
)
n = 500
ends = np.zeros(n, bool)
for _ in range(90):
    for stream in range(2):
        replay.add(stream, Steps(
            np.ones((n, 831), np.float32), np.ones((n, 2), np.float32), np.ones(n, np.float32), ends, ends, ends,
            np.ones((n, size.deter), np.float16), np.ones((n, size.stoch), np.uint8),
        ))

before = memory("VmRSS")
replay_file.save(replay, Path(sys.argv[1]))
print((memory("VmHWM") - before) / replay.nbytes)
before = memory("VmRSS") + replay.nbytes
replay_file.load(loaded, Path(sys.argv[1]))
print((memory("VmHWM") - before) / replay.nbytes)
assert len(loaded) == 80_000
assert replay.nbytes > 270e6
"""


@needs_proc
def test_saving_and_loading_need_at_most_a_tenth_of_the_replays_memory(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MEMORY, str(tmp_path)]
    shares = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    assert [float(share) < 0.1 for share in shares.split()] == [True, True], shares
    for path in tmp_path.iterdir():
        path.unlink()  # pytest would keep these 300 MB


# --- another layout ---------------------------------------------------------------------------------------------------


def round_trip(folder: Path, old: tuple[int, int], new: tuple[int, int], count: int = 300) -> LatentReplay:
    """Save `count` steps in each stream, and load them with another (number of streams, capacity)."""
    streams, capacity = old
    original = make(capacity=capacity, num_streams=streams)
    for stream in range(streams):
        original.add(stream, steps(0, count, stream))
    file.save(original, folder)
    loaded = make(capacity=new[1], num_streams=new[0])
    file.load(loaded, folder)
    return loaded


def names(observation: Tensor) -> list[tuple[int, int]]:
    """Return (stream, number) of steps."""
    return [(int(both - number) // 1000, int(number)) for number, both in observation[:, :2].tolist()]


def held(replay: LatentReplay) -> list[list[tuple[int, int]]]:
    """Return the names of the steps in each stream, oldest first; only before a ring wraps."""
    rings = replay._rings["observation"].unflatten(0, (-1, replay._windows.ring))
    return [names(ring[:count]) for ring, count in zip(rings, replay._windows.added.tolist(), strict=True)]


def newest(stream: int, count: int, end: int = 300) -> list[tuple[int, int]]:
    return [(stream, number) for number in range(end - count, end)]


def test_steps_of_few_streams_are_split_among_more(tmp_path: Path) -> None:
    first, second, third, fourth = held(round_trip(tmp_path, (2, 80), (4, 80)))
    assert first + second == newest(0, 40)
    assert third + fourth == newest(1, 40)
    assert len(first) == len(third) == 20


def test_steps_of_many_streams_are_joined_in_fewer(tmp_path: Path) -> None:
    assert held(round_trip(tmp_path, (4, 80), (2, 80))) == [
        newest(0, 20) + newest(1, 20),
        newest(2, 20) + newest(3, 20),
    ]


def test_indivisible_number_of_streams_keeps_all_that_fits(tmp_path: Path) -> None:
    (first, second) = held(round_trip(tmp_path, (3, 60), (2, 60)))
    assert first + second == newest(0, 20) + newest(1, 20) + newest(2, 20)
    assert len(first) == len(second)


def test_smaller_capacity_keeps_the_newest_steps(tmp_path: Path) -> None:
    assert held(round_trip(tmp_path, (2, 80), (2, 50))) == [newest(0, 25), newest(1, 25)]


def test_larger_capacity_keeps_all_steps_and_has_room(tmp_path: Path) -> None:
    replay = round_trip(tmp_path, (2, 80), (2, 200))
    assert held(replay) == [newest(0, 40), newest(1, 40)]
    replay.add(0, steps(301, 361))
    assert len(replay) == 140


def test_almost_empty_replay_fits_any_layout(tmp_path: Path) -> None:
    assert held(round_trip(tmp_path, (2, 80), (5, 80), count=1)) == [[], [], [(0, 0)], [], [(1, 0)]]


@pytest.mark.parametrize("new", [(4, 80), (1, 80), (2, 50), (2, 200), (3, 80)])
def test_no_window_contains_a_transition_that_did_not_happen(tmp_path: Path, new: tuple[int, int]) -> None:
    """Neighbouring steps follow each other, or the first ends an episode and the second begins one."""
    replay = round_trip(tmp_path, (2, 80), new)
    for stream in range(new[0]):
        replay.add(stream, steps(7 * EPISODE, 7 * EPISODE + 9, 5))
    batch, _ = replay.sample(2000, 6)
    junctions = 0
    for row, is_first, is_last in zip(batch.observation, batch.is_first, batch.is_last, strict=True):
        for at, (one, other) in enumerate(pairwise(names(row))):
            if other != (one[0], one[1] + 1):
                assert (is_last[at], is_first[at + 1]) == (1, 1)
                junctions += 1
    assert junctions > 0


def test_flags_change_only_at_the_borders_of_segments(tmp_path: Path) -> None:
    """Both borders are in the middle of an episode: 299 % 7 = 5 and 260 % 7 = 1."""
    replay = round_trip(tmp_path, (2, 80), (1, 80))
    flags = replay._rings["flags"].bool().numpy()
    number = np.concatenate([np.arange(260, 300)] * 2)
    assert np.array_equal(flags[:, 0], (number % EPISODE == 0) | (number == 260))
    assert np.array_equal(flags[:, 1], (number % EPISODE == EPISODE - 1) | (number == 299))
    assert np.array_equal(flags[:, 2], number % (2 * EPISODE) == EPISODE - 1)


def test_steps_from_another_layout_are_not_fresh_but_later_ones_are(tmp_path: Path) -> None:
    replay = round_trip(tmp_path, (2, 80), (1, 100))
    assert not replay._windows._fresh(10, 5)[0].size
    replay.add(0, steps(0, 11, 5))
    assert replay._windows._fresh(10, 5)[1].tolist() == [79, 84]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"size": replace(SIZE, deter=D + 2)}, "D .recurrent units. = 6, but this network has 8"),
        ({"size": replace(SIZE, stoch=S + 1)}, "S .categoricals. = 4, but this network has 5"),
        ({"size": replace(SIZE, classes=C + 1)}, "C .classes of each categorical. = 5, but this network has 6"),
        ({"observation_size": O + 1}, "O .observation size. = 3, but this network has 4"),
        ({"actions": 1}, "A .actions. = 2, but this network has 1"),
    ],
)
def test_replay_of_another_network_is_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    file.save(trained(PARTLY), tmp_path)
    options = {"capacity": 120, "num_streams": 3, "observation_size": O, "actions": 2, "size": SIZE, "seed": 0}
    with pytest.raises(ValueError, match=message):
        file.load(LatentReplay(**{**options, **other}), tmp_path)


def test_newer_format_is_refused(tmp_path: Path) -> None:
    replay = trained(PARTLY)
    file.save(replay, tmp_path)
    layout = json.loads((tmp_path / "replay.json").read_text())
    (tmp_path / "replay.json").write_text(json.dumps({**layout, "format": 2}))
    with pytest.raises(ValueError, match="format 2, this version reads 1"):
        file.load(replay, tmp_path)


def test_file_of_another_shape_is_refused_and_leaves_the_replay_empty(tmp_path: Path) -> None:
    replay = trained(PARTLY)
    file.save(replay, tmp_path)
    np.save(tmp_path / "reward.npy", np.zeros(5, np.float32))
    with pytest.raises(ValueError, match=r"reward.npy: holds float32 \(5,\), expected float32 \(75,\)"):
        file.load(replay, tmp_path)
    assert len(replay) == 0
