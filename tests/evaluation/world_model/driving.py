"""Steps of a replay, from episodes of random actions."""

import numpy as np

from dreamer_exp.algorithms.protocol import RecordedSteps
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import make_env


def driven(experiment: Experiment, steps: int) -> RecordedSteps:
    """Return steps of an environment with continuous actions, on seeds 0, 1, ..."""
    env, rng = make_env(experiment.env, experiment.obs_contract), np.random.default_rng(0)
    rows = []
    for seed in range(steps):
        observation, _ = env.reset(seed=seed)
        reward, is_first, terminated, done = 0.0, True, False, False
        while not done:
            action = rng.uniform(-1.0, 1.0, env.action_space.shape).astype(np.float32)
            rows.append((observation, action, reward, is_first, False))
            observation, reward, terminated, truncated, _ = env.step(action)
            is_first, done = False, terminated or truncated
        rows.append((observation, np.zeros_like(action), reward, False, terminated))
        if len(rows) >= steps:
            break
    observations, actions, rewards, firsts, ends = zip(*rows, strict=True)
    return RecordedSteps(
        np.stack(observations), np.stack(actions), np.array(rewards, np.float32), np.array(firsts), np.array(ends)
    )
