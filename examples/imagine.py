"""Plot what a policy's world model imagines against what happens in crowd_nav.

    python examples/imagine.py outputs/<run> [imagined.png] [SEED]

The policy takes 20 actions. Then the world model predicts 40 steps more from the actions alone, which the policy goes
on to take: the nearest obstacle, the distance to the waypoint, the reward, and whether the episode continues.
"""

import sys
from typing import Any

import matplotlib as mpl
import numpy as np

from dreamer_exp import load_policy
from dreamer_exp.envs.action_repeat import ActionRepeat
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.policy.acting import Policy

SEEN, AHEAD, SAMPLES = 20, 40, 8
NAMES = ("nearest obstacle, m", "distance to the waypoint, m", "reward", "episode continues")


def main(path: str, picture: str = "imagined.png", seed: int = 1_000_000) -> None:
    """Drive, imagine and plot."""
    happened, imagined = drive(load_policy(path), seed)
    plot(happened, imagined, picture)
    print(f"{picture}: {len(happened)} steps")


def drive(policy: Policy, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the figures of what happened (H, 4), and of each of the imagined sequences (SAMPLES, H, 4)."""
    if not policy.network.has_heads:
        raise SystemExit("imagining needs decoder and heads, and the file was packed with acting_only=true")
    if policy.contract is None or not {"rays", "drive_state"} <= set(policy.contract.keys):
        raise SystemExit("the policy does not observe the rays and drive_state of crowd_nav")
    env, repeat = CrowdNavEnv(), policy.info.action_repeat
    env = ActionRepeat(env, repeat) if repeat > 1 else env
    observation, _ = env.reset(seed=seed)
    for _ in range(SEEN):
        observation, _, terminated, truncated, _ = env.step(policy.act(observation))
        if terminated or truncated:
            raise SystemExit(f"seed {seed}: the episode ended within {SEEN} steps; take another")
    actions, rows, ended = [policy.act(observation)], [], False
    start = policy.state
    while len(rows) < AHEAD and not ended:
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        ended = terminated or truncated
        rows.append(figures(observation, np.array([reward]), np.array([not terminated]))[0])
        actions.append(policy.act(observation))
    env.close()
    taken = np.array(actions[: len(rows)])
    return np.array(rows), np.array([figures(*policy.imagine(start, taken, seed=i)) for i in range(SAMPLES)])


def figures(observation: dict[str, Any], reward: np.ndarray, proceeds: np.ndarray) -> np.ndarray:
    """Return the figures of H steps (H, 4), of the newest frame where the policy observes several."""
    steps = len(reward)
    rays = np.reshape(observation["rays"], (steps, -1, 272))[:, -1]
    drive_state = np.reshape(observation["drive_state"], (steps, -1, 5))[:, -1]
    return np.stack([rays.min(-1) * 10.0, drive_state[:, 2] * 50.0, reward, proceeds], -1)


def plot(happened: np.ndarray, imagined: np.ndarray, picture: str) -> None:
    """Write the picture."""
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(NAMES), sharex=True, figsize=(7, 8), layout="constrained")
    for place, (axis, name) in enumerate(zip(axes, NAMES, strict=True)):
        for sample in imagined:
            axis.plot(sample[:, place], color="tab:orange", alpha=0.4)
        axis.plot(happened[:, place], color="black", label="what happened")
        axis.plot([], color="tab:orange", label=f"{SAMPLES} imagined")
        axis.set_ylabel(name)
    axes[0].legend()
    axes[-1].set_xlabel("actions without an observation")
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        raise SystemExit("usage: python examples/imagine.py RUN [PICTURE.png] [SEED]")
    main(*sys.argv[1:3], *map(int, sys.argv[3:4]))
