"""The saved replay of RLlib's learner: content of the folder, and a loaded replay continues like the saved one."""

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
LENGTHS = (22, 13, 30)  # of all episodes of three environments
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak memory from /proc")


class Env:
    """The episodes of one environment as an env runner sends them: chunks of up to 8 steps with a lookback of 1."""

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
    """Return a replay with chunks of three environments, from which batches were sampled, and the environments."""
    replay, envs = make(capacity, seed=1), [Env(number, discrete) for number in range(3)]
    for _ in range(rounds):
        replay.add([env.chunk() for env in envs])
    for _ in range(3):
        replay.sample()
    return replay, envs


def round_trip(replay: SeededEpisodeReplay, folder: Path, capacity: int = CAPACITY) -> SeededEpisodeReplay:
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


# Continuing


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("rounds", [1, 2, 5, 40])
def test_loaded_replay_samples_the_same_batches(tmp_path: Path, rounds: int, discrete: bool) -> None:
    """With few rounds all episodes are in the replay; with 40 rounds the first ones were evicted."""
    original, _ = filled(rounds, discrete)
    assert_equal_batches(original, round_trip(original, tmp_path))


@pytest.mark.parametrize("rounds", [1, 2, 5, 40])
def test_loaded_replay_samples_the_same_batches_after_further_steps(tmp_path: Path, rounds: int) -> None:
    original, envs = filled(rounds)
    loaded = round_trip(original, tmp_path)
    for _ in range(30):
        chunks = [env.chunk() for env in envs]
        for replay in (original, loaded):
            replay.add(chunks)
        assert_equal_batches(original, loaded)
    assert original.get_num_episodes_evicted() > 10


def test_saving_does_not_change_the_next_batches(tmp_path: Path) -> None:
    saved, other = filled(5)[0], filled(5)[0]
    replay_file.save(saved, tmp_path)
    assert_equal_batches(saved, other)


def test_counters_and_indices_are_restored(tmp_path: Path) -> None:
    original, _ = filled(40)
    loaded = round_trip(original, tmp_path)
    for name in ("episode_id_to_index", "_indices", "_num_timesteps", "_num_timesteps_added"):
        assert getattr(loaded, name) == getattr(original, name)
    assert loaded.get_num_episodes_evicted() == original.get_num_episodes_evicted() > 0
    assert (len(loaded), loaded.get_sampled_timesteps()) == (len(original), original.get_sampled_timesteps())


def test_episode_without_its_evicted_beginning_is_continued(tmp_path: Path) -> None:
    """Its chunks have the same id, start later than step 0, and have a lookback of an evicted step."""
    original, env = make(capacity=20), Env(2)
    env.chunk()
    original.add([env.chunk()])
    loaded = round_trip(original, tmp_path)
    assert (loaded.episodes[0].t_started, len(loaded.episodes[0])) == (8, 8)
    assert_equal_batches(original, loaded)
    chunk = env.chunk()
    for replay in (original, loaded):
        replay.add([chunk])
    assert_equal_batches(original, loaded)


def test_loading_replaces_the_previous_contents(tmp_path: Path) -> None:
    (original, _), (other, _) = filled(2), filled(40)
    replay_file.save(original, tmp_path)
    replay_file.load(other, tmp_path)
    assert_equal_batches(original, other)


def test_empty_replay_can_be_saved(tmp_path: Path) -> None:
    loaded = round_trip(make(), tmp_path)
    assert (len(loaded), len(loaded.episodes)) == (0, 0)
    loaded.add([Env(0).chunk()])
    assert len(loaded) == 8


def test_smaller_capacity_leaves_out_the_oldest_episodes(tmp_path: Path) -> None:
    original, envs = filled(40, capacity=300)
    loaded = round_trip(original, tmp_path, capacity=100)
    kept = [episode.id_ for episode in loaded.episodes]
    assert kept == [episode.id_ for episode in original.episodes][-len(kept) :]
    assert 100 - max(LENGTHS) < len(loaded) <= 100
    for _ in range(20):
        loaded.add([env.chunk() for env in envs])
        assert_consecutive(loaded.sample())


def test_as_many_episodes_as_fit_are_kept_and_always_the_newest(tmp_path: Path) -> None:
    original, env = make(), Env(0)
    original.add([env.chunk() for _ in range(6)])  # two episodes of 22 steps
    kept = {capacity: len(round_trip(original, tmp_path, capacity).episodes) for capacity in (44, 43, 22, 10)}
    assert kept == {44: 2, 43: 1, 22: 1, 10: 1}


def assert_consecutive(batch: dict[str, Any]) -> None:
    """Check that the steps of an episode are consecutive, each with its reward."""
    step, continues = batch["obs"][..., 0], ~batch["is_first"][:, 1:]
    assert continues.any()
    assert (np.diff(step)[continues] == 1).all()
    assert np.allclose(batch["rewards"][:, 1:][continues], step[:, 1:][continues] / 10)


# The folder


def test_folder_contains_plain_arrays_and_a_json_file(tmp_path: Path) -> None:
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


def test_small_pieces_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, _ = filled(40)
    replay_file.save(original, tmp_path / "one_piece")
    monkeypatch.setattr(replay_file, "PIECE_BYTES", 28)
    replay_file.save(original, tmp_path / "pieces")
    for path in (tmp_path / "one_piece").iterdir():
        assert path.read_bytes() == (tmp_path / "pieces" / path.name).read_bytes()


def test_loaded_steps_take_no_more_memory_than_sampled_ones(tmp_path: Path) -> None:
    """The arrays of an episode are no views, so that its eviction frees them, and all steps share one info."""
    loaded = round_trip(filled(40)[0], tmp_path)
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
steps, length = 45_000, 500
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
for _ in range(2):  # the second time replaces the steps of the first
    replay_file.load(loaded, Path(sys.argv[1]))
print((memory("VmHWM") - before) / size)
assert len(loaded) == steps
"""


@pytest.mark.slow
@needs_proc
def test_saving_and_loading_need_at_most_a_tenth_of_the_replays_memory(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MEMORY, str(tmp_path)]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    assert [float(share) < 0.1 for share in printed.split()] == [True, True], printed
    for path in tmp_path.iterdir():
        path.unlink()  # pytest would keep 150 MB


# Refused files


def test_newer_format_is_refused(tmp_path: Path) -> None:
    replay_file.save(filled(2)[0], tmp_path)
    tree = json.loads((tmp_path / "replay.json").read_text())
    (tmp_path / "replay.json").write_text(json.dumps({**tree, "format": 2}))
    with pytest.raises(ValueError, match="format 2, this version reads 1"):
        replay_file.load(make(), tmp_path)


def test_file_of_another_save_is_refused_and_leaves_the_replay_empty(tmp_path: Path) -> None:
    replay, _ = filled(2)
    replay_file.save(replay, tmp_path)
    np.save(tmp_path / "rewards.npy", np.zeros(5))
    with pytest.raises(ValueError, match=r"rewards.npy: ends before"):
        replay_file.load(replay, tmp_path)
    assert (len(replay), len(replay.episodes)) == (0, 0)
