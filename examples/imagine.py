"""Plot what a policy's world model imagines against what happens in crowd_nav.

    python examples/imagine.py outputs/<run> [imagined.png] [SEED]

The policy drives 20 steps. Then the world model predicts 40 more from the actions alone, which the policy goes on to
take: the nearest obstacle, the distance to the waypoint, the reward, and whether the episode continues.
"""

import sys

import matplotlib as mpl
import numpy as np

from dreamer_exp import load_policy
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv

SEEN, AHEAD, SAMPLES = 20, 40, 8


def main(path: str, picture: str = "imagined.png", seed: int = 1_000_000) -> None:
    """Drive, imagine and plot."""
    mpl.use("Agg")
    from matplotlib import pyplot

    policy, env = load_policy(path), CrowdNavEnv()
    observation, _ = env.reset(seed=seed)
    for _ in range(SEEN):
        action = policy.act(observation)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            raise SystemExit(f"seed {seed}: the episode ended within {SEEN} steps; take another")
    actions, rows, ended = [policy.act(observation)], [], False
    start = policy.state
    while len(rows) < AHEAD and not ended:
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        ended = terminated or truncated
        rows.append((*figures(observation), float(reward), float(not terminated)))
        actions.append(policy.act(observation))
    env.close()
    taken = np.array(actions[: len(rows)])
    imagined = [policy.imagine(start, taken, seed=sample) for sample in range(SAMPLES)]

    names = ("nearest obstacle, m", "distance to the waypoint, m", "reward", "episode continues")
    figure, axes = pyplot.subplots(len(names), sharex=True, figsize=(7, 8), layout="constrained")
    for place, (axis, name) in enumerate(zip(axes, names, strict=True)):
        for sample in imagined:
            lines = (*figures(sample.observation), sample.reward, sample.proceeds)
            axis.plot(np.atleast_1d(lines[place]), color="tab:orange", alpha=0.4)
        axis.plot([row[place] for row in rows], color="black", label="what happened")
        axis.plot([], color="tab:orange", label=f"{SAMPLES} imagined")
        axis.set_ylabel(name)
    axes[0].legend()
    axes[-1].set_xlabel("steps without an observation")
    figure.savefig(picture, dpi=120)
    print(f"{picture}: {len(rows)} steps")


def figures(observation: dict) -> tuple:
    """Return the nearest obstacle and the distance to the waypoint, in metres, of the newest frame (..., 3, ...)."""
    return observation["rays"][..., -1, :].min(-1) * 10.0, observation["drive_state"][..., -1, 2] * 50.0


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:4]))
