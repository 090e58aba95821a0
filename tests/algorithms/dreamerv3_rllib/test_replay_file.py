"""The stock learner's saved replay: what is in the folder, and that it goes on as the one it was saved from."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3_rllib import replay_file
from dreamer_exp.algorithms.dreamerv3_rllib.replay import SeededEpisodeReplay, slim

CAPACITY = 120
LENGTHS = (22, 13, 30)  # of the episodes of three environments, again and again
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak memory from /proc")


class Env:
    """One environment's episodes as an env runner sends them: slim chunks of up to 8 steps that look 1 step back."""

    def __init__(self, number: int, discrete: bool = False) -> None:
        self.number, self.discrete, self.episodes, self.step = number, discrete, 0, 0
        self._begin()

    def _begin(self) -> None:
        self.episode = SingleAgentEpisode(id_=f"env {self.number} episode {self.episodes}")
        self.episode.add_env_reset(self._observation(), infos={})

    def _observation(self) -> Any:
        return np.array([self.step, self.number, self.episodes], np.float32)

    def chunk(self) -> SingleAgentEpisode:
        length = LENGTHS[self.number]
        while True:
            self.step += 1
            ends = self.episode.t + 1 == length
            self.episode.add_env_step(
                observation=self._observation(),
                action=self.step % 5 if self.discrete else np.array([self.step, 0.5], np.float32),
                reward=self.step / 10,
                infos={},
                terminated=ends and self.number == 0,
                truncated=ends and self.number != 0,
            )
            if ends or len(self.episode) == 8:
                break
        chunk = self.episode
        if ends:
            self.episodes += 1
            self._begin()
        else:
            self.episode = chunk.cut(len_lookback_buffer=1)
        chunk.to_numpy()
        slim(chunk)
        return chunk


def make(capacity: int = CAPACITY, seed: int = 9) -> SeededEpisodeReplay:
    return SeededEpisodeReplay(capacity, batch_size_B=4, batch_length_T=12, seed=seed)


def filled(rounds: int, discrete: bool = False, capacity: int = CAPACITY) -> tuple[SeededEpisodeReplay, list[Env]]:
    """Chunks of three environments in turn, some batches sampled, and the environments to continue with."""
    replay, envs = make(capacity, seed=1), [Env(number, discrete) for number in range(3)]
    for _ in range(rounds):
        replay.add([env.chunk() for env in envs])
    for _ in range(3):
        replay.sample()
    return replay, envs


def reloaded(replay: SeededEpisodeReplay, folder: Path, capacity: int = CAPACITY) -> SeededEpisodeReplay:
    loaded = make(capacity)
    replay_file.save(replay, folder)
    replay_file.load(loaded, folder)
    return loaded


def assert_equal_batches(one: SeededEpisodeReplay, other: SeededEpisodeReplay) -> None:
    for _ in range(5):
        left, right = one.sample(), other.sample()
        assert left.keys() == right.keys()
        for key, values in left.items():
            assert values.dtype == right[key].dtype
            assert np.array_equal(values, right[key]), key


# --- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("rounds", [1, 2, 5, 40])
def test_a_loaded_replay_samples_the_same_batches(tmp_path: Path, rounds: int, discrete: bool) -> None:
    """Episodes under way; all held; the first ones evicted."""
    original, _ = filled(rounds, discrete)
    assert_equal_batches(original, reloaded(original, tmp_path))


@pytest.mark.parametrize("rounds", [1, 2, 5, 40])
def test_it_does_so_too_when_episodes_go_on_begin_and_are_evicted(tmp_path: Path, rounds: int) -> None:
    original, envs = filled(rounds)
    loaded = reloaded(original, tmp_path)
    for _ in range(30):
        chunks = [env.chunk() for env in envs]
        for replay in (original, loaded):
            replay.add(chunks)
        assert_equal_batches(original, loaded)
    assert original.get_num_episodes_evicted() > 10


def test_saving_changes_nothing_of_what_is_sampled_next(tmp_path: Path) -> None:
    saved, straight = filled(5)[0], filled(5)[0]
    replay_file.save(saved, tmp_path)
    assert_equal_batches(saved, straight)


def test_the_replay_s_books_are_the_same(tmp_path: Path) -> None:
    original, _ = filled(40)
    loaded = reloaded(original, tmp_path)
    for books in ("episode_id_to_index", "_indices", "_num_timesteps", "_num_timesteps_added"):
        assert getattr(loaded, books) == getattr(original, books)
    assert loaded.get_num_episodes_evicted() == original.get_num_episodes_evicted() > 0
    assert (len(loaded), loaded.get_sampled_timesteps()) == (len(original), original.get_sampled_timesteps())


def test_an_episode_whose_beginning_was_evicted_is_held_on(tmp_path: Path) -> None:
    """Its chunks come under the same id, begin later than 0 and look back on a step that isn't theirs."""
    original, env = make(capacity=20), Env(2)
    env.chunk()
    original.add([env.chunk()])
    loaded = reloaded(original, tmp_path)
    assert (loaded.episodes[0].t_started, len(loaded.episodes[0])) == (8, 8)
    assert_equal_batches(original, loaded)
    chunk = env.chunk()
    for replay in (original, loaded):
        replay.add([chunk])
    assert_equal_batches(original, loaded)


def test_what_a_replay_held_before_is_replaced(tmp_path: Path) -> None:
    (original, _), (other, _) = filled(2), filled(40)
    replay_file.save(original, tmp_path)
    replay_file.load(other, tmp_path)
    assert_equal_batches(original, other)


def test_an_empty_replay_is_saved_too(tmp_path: Path) -> None:
    loaded = reloaded(make(), tmp_path)
    assert (len(loaded), len(loaded.episodes)) == (0, 0)
    loaded.add([Env(0).chunk()])
    assert len(loaded) == 8


def test_a_smaller_capacity_leaves_the_oldest_episodes_out(tmp_path: Path) -> None:
    original, envs = filled(40, capacity=300)
    loaded = reloaded(original, tmp_path, capacity=100)
    kept = [episode.id_ for episode in loaded.episodes]
    assert kept == [episode.id_ for episode in original.episodes][-len(kept) :]
    assert 100 - max(LENGTHS) < len(loaded) <= 100
    for _ in range(20):
        loaded.add([env.chunk() for env in envs])
        assert_whole(loaded.sample())


def test_as_many_episodes_stay_as_fit_and_the_newest_always(tmp_path: Path) -> None:
    original, env = make(), Env(0)
    original.add([env.chunk() for _ in range(6)])  # two episodes of 22 steps
    held = {capacity: len(reloaded(original, tmp_path, capacity).episodes) for capacity in (44, 43, 22, 10)}
    assert held == {44: 2, 43: 1, 22: 1, 10: 1}


def assert_whole(batch: dict[str, Any]) -> None:
    """Check that the steps of an episode are consecutive, each with its reward."""
    step, goes_on = batch["obs"][..., 0], ~batch["is_first"][:, 1:]
    assert goes_on.any()
    assert (np.diff(step)[goes_on] == 1).all()
    assert np.allclose(batch["rewards"][:, 1:][goes_on], step[:, 1:][goes_on] / 10)


# --- the folder -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_plain_arrays_and_a_json_file(tmp_path: Path) -> None:
    original, _ = filled(40)
    replay_file.save(original, tmp_path / "made" / "on the way")
    files = sorted(path.name for path in (tmp_path / "made" / "on the way").iterdir())
    assert files == ["actions.npy", "observations.npy", "order.npy", "replay.json", "rewards.npy"]
    arrays = {
        name: np.load(tmp_path / "made" / "on the way" / name, allow_pickle=False) for name in files if "npy" in name
    }
    episodes = list(original.episodes)
    observations = np.concatenate([episode.get_observations() for episode in episodes])
    assert np.array_equal(arrays["observations.npy"], observations)
    assert arrays["observations.npy"].dtype == np.float32
    assert np.array_equal(arrays["rewards.npy"], np.concatenate([episode.get_rewards() for episode in episodes]))
    assert len(arrays["actions.npy"]) == len(arrays["order.npy"]) == len(original)


def test_many_small_pieces_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, _ = filled(40)
    replay_file.save(original, tmp_path / "whole")
    monkeypatch.setattr(replay_file, "PIECE_BYTES", 28)
    replay_file.save(original, tmp_path / "pieces")
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "pieces" / path.name).read_bytes()


def test_loaded_steps_take_no_more_memory_than_sampled_ones(tmp_path: Path) -> None:
    """An episode's arrays are its own, so that its eviction frees them, and no dict of infos a step."""
    loaded = reloaded(filled(40)[0], tmp_path)
    for episode in loaded.episodes:
        assert episode.observations.data.base is None
        assert len({id(info) for info in episode.infos.data}) == 1


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from dreamer_exp.algorithms.dreamerv3_rllib import replay_file
from dreamer_exp.algorithms.dreamerv3_rllib.replay import SeededEpisodeReplay, slim

def memory(field):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024

replay, loaded = (SeededEpisodeReplay(10**6, batch_size_B=4, batch_length_T=12, seed=0) for _ in range(2))
steps, length = 90_000, 500
size = steps * (831 + 2) * 4
for number in range(steps // length):
    episode = SingleAgentEpisode(
        observations=list(np.ones((length + 1, 831), np.float32)), actions=list(np.ones((length, 2), np.float32)),
        rewards=[1.0] * length, truncated=True, len_lookback_buffer=0,
    ).to_numpy()
    slim(episode)
    replay.add([episode])

before = memory("VmRSS")
replay_file.save(replay, Path(sys.argv[1]))
print((memory("VmHWM") - before) / size)
before = memory("VmRSS") + size
for _ in range(2):  # the second time in the place of what is held
    replay_file.load(loaded, Path(sys.argv[1]))
print((memory("VmHWM") - before) / size)
assert len(loaded) == steps
"""


@needs_proc
def test_saving_and_loading_take_a_tenth_of_the_replay_s_memory_at_most(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MEMORY, str(tmp_path)]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    assert [float(share) < 0.1 for share in printed.split()] == [True, True], printed
    for path in tmp_path.iterdir():
        path.unlink()  # pytest would keep 300 MB


# --- what cannot be loaded --------------------------------------------------------------------------------------------


def test_a_format_to_come_is_refused(tmp_path: Path) -> None:
    replay_file.save(filled(2)[0], tmp_path)
    books = json.loads((tmp_path / "replay.json").read_text())
    (tmp_path / "replay.json").write_text(json.dumps({**books, "format": 2}))
    with pytest.raises(ValueError, match="format 2, this version reads 1"):
        replay_file.load(make(), tmp_path)


def test_a_file_of_another_save_is_refused_and_nothing_is_held(tmp_path: Path) -> None:
    replay, _ = filled(2)
    replay_file.save(replay, tmp_path)
    np.save(tmp_path / "rewards.npy", np.zeros(5))
    with pytest.raises(ValueError, match=r"rewards.npy: ends before"):
        replay_file.load(replay, tmp_path)
    assert (len(replay), len(replay.episodes)) == (0, 0)
