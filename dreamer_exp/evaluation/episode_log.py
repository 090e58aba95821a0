"""The finished episodes of an evaluation, so that one that was killed continues where it was.

One JSON line for each episode, in a file that is removed when the evaluation is complete. Its name holds a digest of
everything that decides an episode, except the episode itself (seed and scenario, in the line).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.spec import spec_of
from dreamer_exp.evaluation.baseline_cache import code_digest, digest
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished
from dreamer_exp.evaluation.trajectories import Track
from dreamer_exp.rundir.atomic import append_row
from dreamer_exp.rundir.parse import parse_object
from dreamer_exp.rundir.provenance import package_version
from dreamer_exp.rundir.row_filter import filter_rows

CODE = ("algorithms", "envs", "evaluation")  # the code that decides an episode


class EpisodeLog:
    """The log of one policy.

    Args:
        folder: of the evaluation's report; it exists.
        identity: JSON values that decide the episodes.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.path = folder / f"unfinished_{digest(identity)[:16]}.jsonl"

    def load(self, episodes: Sequence[EvaluationEpisode]) -> dict[EvaluationEpisode, Finished]:
        """Return those of the episodes that are finished; damaged lines are removed from the log."""
        found: dict[EvaluationEpisode, Finished] = {}
        wanted = set(episodes)

        def keep(line: dict[str, Any]) -> bool:
            finished = from_line(line)
            if finished.episode in wanted:
                found[finished.episode] = finished
            return True

        filter_rows(self.path, keep, parse_object)
        return found

    def append(self, finished: Finished) -> None:
        """Write a finished episode, if the disk takes it."""
        with suppress(OSError, ValueError):  # a full disk, NaN: the episode runs again if the evaluation is killed
            append_row(self.path, to_line(finished))

    def remove(self) -> None:
        """Remove the log of a complete evaluation."""
        self.path.unlink(missing_ok=True)


def identity_of(experiment: Experiment, policy: str) -> dict[str, Any]:
    """Return what decides an episode.

    Args:
        experiment: gives the env and the contract.
        policy: SHA-256 of the policy's weights, or the name of a baseline.
    """
    packages = ("torch", "gymnasium", *(spec_of(experiment.env).packages or ()))
    return {
        "policy": policy,
        "contract": asdict(experiment.obs_contract),
        "env": asdict(experiment.env),
        "code": code_digest(sources=CODE),
        "packages": {package: package_version(package) for package in packages},
    }


def to_line(finished: Finished) -> dict[str, Any]:
    """Return a finished episode as JSON values."""
    track = finished.recording
    return {
        "seed": finished.episode.seed,
        "scenario": finished.episode.scenario,
        "result": finished.result.to_dict(),
        "track": None if track is None else track.to_dict(),
    }


def from_line(line: Mapping[str, Any]) -> Finished:
    """Return the episode of `to_line`; raises one of several errors if it is another line."""
    track = line["track"]
    return Finished(
        EvaluationEpisode(line["seed"], line["scenario"]),
        EpisodeResult.from_dict(line["result"]),
        None if track is None else Track.from_dict(track),
    )
