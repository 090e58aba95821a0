"""An episode depends on its seed and its actions alone."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES

FINGERPRINT = """
import hashlib, numpy as np
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
env, digest = CrowdNavEnv("mixed"), hashlib.sha256()
actions = np.random.default_rng(0).uniform(-1, 1, (150, 2)).astype(np.float32)
for seed in range(6):
    observation, _ = env.reset(seed=seed)
    for action in actions:
        digest.update(observation["drive_state"].tobytes() + observation["rays"].tobytes())
        observation, reward, terminated, truncated, info = env.step(action)
        digest.update(np.float64(reward).tobytes() + repr(info).encode())
        if terminated or truncated:
            break
print(digest.hexdigest())
"""


def fingerprint(episode):
    digest = hashlib.sha256()
    for observation, reward, terminated, truncated, info in episode:
        digest.update(observation["drive_state"].tobytes() + observation["rays"].tobytes())
        digest.update(repr((reward, terminated, truncated, info)).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("family", FAMILIES)
def test_seed_repeats_an_episode_bit_for_bit(family, run_episode, actions):
    fresh = fingerprint(run_episode(CrowdNavEnv(family), 11, actions))
    used = CrowdNavEnv(family)
    run_episode(used, 12, actions)
    assert fingerprint(run_episode(used, 11, actions)) == fresh


def test_seed_repeats_an_episode_in_another_process():
    prints = {
        subprocess.run([sys.executable, "-c", FINGERPRINT], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(prints) == 1


def test_different_seeds_differ(run_episode, actions):
    env = CrowdNavEnv("dense")
    assert fingerprint(run_episode(env, 1, actions)) != fingerprint(run_episode(env, 2, actions))


def test_resets_without_a_seed_continue_the_stream_of_the_first_seed():
    starts = []
    for _ in range(2):
        env = CrowdNavEnv("open")
        env.reset(seed=9)
        starts.append([env.reset()[0]["rays"].tobytes() for _ in range(3)])
    assert starts[0] == starts[1]
    assert len(set(starts[0])) == 3


def test_seed_in_the_final_info_repeats_an_unseeded_episode(run_episode, actions):
    env = CrowdNavEnv("mixed", max_steps=60)
    run_episode(env, 4, actions[:3])
    unseeded = run_episode(env, None, actions)
    again = run_episode(CrowdNavEnv("mixed", max_steps=60), unseeded[-1][-1]["seed"], actions)
    assert fingerprint(again) == fingerprint(unseeded)


def test_final_info_holds_the_given_seed(run_episode, actions):
    assert run_episode(CrowdNavEnv("open", max_steps=5), 77, actions)[-1][-1]["seed"] == 77


def test_numpys_global_generator_is_unchanged():
    np.random.seed(3)  # noqa: NPY002  (the global generator is the subject)
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    CrowdNavEnv("dense").reset(seed=0)
    assert np.random.random() == expected  # noqa: NPY002
