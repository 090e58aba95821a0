"""`python -m dreamer_exp.evaluate RUN [episodes=N] [env=...] [video=N] [out=DIR] [KEY=VALUE ...]`: a trained policy on
fixed seeds, in any environment that keeps its observation contract: trained in crowd_nav, judged in Robot SF."""

import json
import sys
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from dreamer_exp.cli.train import report
from dreamer_exp.config import compose, load, saved_experiment
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of, require
from dreamer_exp.hardware import probe
from dreamer_exp.monitoring.logs import quiet
from dreamer_exp.rundir.provenance import now_utc

ANY_NUMBER = 1_000_000
USAGE = """\
python -m dreamer_exp.evaluate RUN [episodes=N] [env=OPTION] [video=N] [out=DIR] [KEY=VALUE ...]

RUN is a run's directory (its best checkpoint, else its latest) or one checkpoint. Into RUN/report, or into DIR, go the
figures of every episode (JSON) and the paths driven (PNG); with video=N also N episodes as GIFs, failures first.
The run's own overrides hold, and those given here win: env=robot_sf, episodes=100 (short for evaluation.episodes=100),
evaluation.seed=7, evaluation.baselines=[orca].
"""


@dataclass(frozen=True)
class Asked:
    """A command line, read."""

    path: Path
    overrides: list[str]
    video: int = 0  # episodes to film
    out: Path | None = None  # where the files go; None: the run's report/


def read_words(words: list[str]) -> Asked:
    """The command line's words.

    Raises:
        UserError: no run is named, or video is no whole number.
    """
    if "=" in words[0] and not Path(words[0]).exists():
        raise UserError(f"{words[0]}: name the run first: python -m dreamer_exp.evaluate outputs/<run> {words[0]}")
    own = {name: value for name, _, value in (word.partition("=") for word in words[1:]) if name in ("video", "out")}
    rest = [word for word in words[1:] if not word.startswith(("video=", "out="))]
    overrides = [f"evaluation.{word}" if word.startswith("episodes=") else word for word in rest]
    video = own.get("video", "0")
    if not (video.isascii() and video.isdigit()):
        raise UserError(f"video={video}: it takes a whole number of episodes to film, 0 or more.")
    return Asked(Path(words[0]), overrides, int(video), Path(own["out"]) if own.get("out") else None)


def recompose(run: Path, overrides: list[str]) -> Experiment:
    """The run's experiment under further overrides.

    Raises:
        UserError: there is no experiment.yaml, or the overrides cannot work.
    """
    file = run / "experiment.yaml"
    if not any(word.startswith("env=") for word in overrides):
        return _load(saved_experiment.reload(file, overrides)[0])
    # another environment: the keys that the run set for its own one mean nothing to it
    there = [word for word in overrides if word.lstrip("+").startswith(("env=", "env."))]
    rest = [word for word in overrides if word not in there]
    return replace(_load(saved_experiment.reload(file, rest)[0]), env=_load(compose.compose_words(there)).env)


def _load(config: DictConfig) -> Experiment:
    # a policy is judged wherever its checkpoint is: what the run asked of its machine isn't asked of this one
    return load.load_experiment(config, replace(probe(), cpus=ANY_NUMBER, gpus=ANY_NUMBER))


def evaluate(asked: Asked, console: Console) -> None:
    """Evaluates, prints the table, and writes the JSON, the picture and the films.

    Raises:
        UserError: no checkpoint there, nowhere to write, or the environment doesn't keep the policy's contract.
    """
    from dreamer_exp.algorithms.policy import make_policy
    from dreamer_exp.checkpoints import store
    from dreamer_exp.checkpoints.policy_file import load_policy
    from dreamer_exp.evaluation.report import EvaluationReport

    quiet("WARNING")  # after the imports, in which RLlib sets its own level
    checkpoint = store.resolve(asked.path.resolve())
    run = checkpoint.parents[1]
    experiment = recompose(run, asked.overrides)
    refuse_nothing_to_do(experiment)
    require(experiment.env)
    trained = json.loads((checkpoint / store.MANIFEST).read_text(encoding="utf-8"))
    check_contract(experiment, trained["contract_hash"])
    folder = writable(asked.out or run / "report")
    module = load_policy(checkpoint)
    evaluation = EvaluationReport(
        experiment,
        lambda num_envs, seed: make_policy(module, num_envs, seed),
        f"{run.name}, checkpoint {checkpoint.name}, in {experiment.env.name}",
        folder / f"evaluation_{experiment.env.name}_{now_utc().replace(':', '')}",
        console,
    )
    settings = {name: part for name, part in experiment.to_dict().items() if name != "hardware"}
    about = {"run": run.name, "checkpoint": checkpoint.name, "experiment": settings}
    evaluation.evaluate(about, trained["env_steps"], trained["updates"], asked.video)


def refuse_nothing_to_do(experiment: Experiment) -> None:
    """Raises UserError where the run's own words ask for no episodes, and those given here don't either."""
    if not experiment.evaluation.episodes:
        raise UserError("evaluation.episodes=0: this run was never evaluated; say how many, as episodes=100.")


def writable(folder: Path) -> Path:
    """The folder, made if it isn't there; raises UserError where nothing can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); name another folder with out=DIR.") from error
    return folder


def check_contract(experiment: Experiment, trained: str) -> None:
    """Refuses an environment whose observations or actions are not those that the policy was trained on."""
    here = contract_of(experiment.env, experiment.obs_contract).hash
    if here != trained:
        raise UserError(
            f"env={experiment.env.name} with obs_contract={experiment.obs_contract.name} has contract {here}, and the "
            f"policy was trained on {trained}: choose an env and obs_contract with equal keys, shapes and bounds."
        )


def main() -> None:
    """The command line."""
    words = sys.argv[1:]
    if not words or {"--help", "-h"} & set(words):
        print(USAGE)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # RLlib's and Gymnasium's at import (see __main__)
            evaluate(read_words(words), Console(highlight=False))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(f"dreamer_exp: {error}")
    except Exception as error:  # noqa: BLE001  # the last frame of the program: told in one line, never swallowed
        sys.exit(report(error))


if __name__ == "__main__":
    main()
