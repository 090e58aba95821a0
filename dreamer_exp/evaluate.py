"""`python -m dreamer_exp.evaluate RUN [env=...] [KEY=VALUE ...]`: a trained policy on fixed seeds, in any environment
that keeps its observation contract: trained in crowd_nav, judged in Robot SF, and the other way round."""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import hydra
import yaml
from omegaconf import DictConfig
from rich.console import Console

from dreamer_exp.__main__ import report
from dreamer_exp.config import compose, load
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import split_applicable
from dreamer_exp.envs.make import contract_of, require
from dreamer_exp.hardware import probe
from dreamer_exp.runs.directory import write_json
from dreamer_exp.runs.logs import quiet
from dreamer_exp.runs.provenance import now_utc

ANY_NUMBER = 1_000_000
USAGE = """\
python -m dreamer_exp.evaluate RUN [env=OPTION] [KEY=VALUE ...]

RUN is a run's directory (its best checkpoint, else its latest) or one checkpoint. The run's own overrides hold, and
those given here win: env=robot_sf, evaluation.episodes=100, evaluation.seed=7, evaluation.baselines=[orca].
A checkpoint is read with pickle, which runs what the file says: evaluate only what you trust.
"""


def recompose(run: Path, overrides: list[str]) -> Experiment:
    """The run's experiment under further overrides.

    Raises:
        UserError: the run's overrides cannot be read, or the new ones cannot work.
    """
    kept = run / ".hydra" / "overrides.yaml"
    if not kept.exists():
        raise UserError(
            f"{run}: no .hydra/overrides.yaml, so its experiment cannot be composed; name a run's directory."
        )
    own = yaml.safe_load(kept.read_text(encoding="utf-8"))
    if not any(word.startswith("env=") for word in overrides):
        return _compose([*own, *overrides])
    # another environment: the keys that the run set for its own one mean nothing to it
    there = [word for word in overrides if word.lstrip("+").startswith(("env=", "env."))]
    rest = [word for word in overrides if word not in there]
    return replace(_compose([*own, *rest]), env=_compose(there).env)


def _compose(overrides: list[str]) -> Experiment:
    compose.prepare()
    with hydra.initialize_config_dir(str(compose.config_dir()), version_base="1.3"):
        config: DictConfig = hydra.compose("config", overrides)
    # a policy is judged wherever its checkpoint is: what the run asked of its machine isn't asked of this one
    return load.load_experiment(config, replace(probe(), cpus=ANY_NUMBER, gpus=ANY_NUMBER))


def evaluate(path: Path, overrides: list[str], console: Console) -> Path:
    """Evaluates, prints the table and returns the JSON file that it wrote into the run's report/.

    Raises:
        UserError: no checkpoint there, or the environment doesn't keep the policy's contract.
    """
    from dreamer_exp.dreamer.policy import load_module, make_policy
    from dreamer_exp.runs import checkpoints, evaluation
    from dreamer_exp.runs.report import LEARNER, evaluation_table

    quiet("WARNING")  # after the imports, in which RLlib sets its own level
    checkpoint = checkpoints.resolve(path)
    run = checkpoint.parents[1]
    experiment = recompose(run, overrides)
    require(experiment.env)
    trained = json.loads((checkpoint / checkpoints.MANIFEST).read_text(encoding="utf-8"))
    check_contract(experiment, trained["contract_hash"])
    module = load_module(checkpoint / checkpoints.RLLIB)
    results = evaluation.evaluate_policy(experiment, lambda n, seed: make_policy(module, n, seed))
    seeds = evaluation.evaluation_seeds(experiment)
    rows = [evaluation.evaluation_row(LEARNER, trained["env_steps"], trained["updates"], results, seeds)]
    for name in split_applicable(experiment.evaluation.baselines, experiment.env)[0]:
        rows.append(evaluation.evaluation_row(name, 0, 0, evaluation.evaluate_baseline(experiment, name), seeds))
    console.print(f"{run.name}, checkpoint {checkpoint.name}, in {experiment.env.name}", soft_wrap=True, markup=False)
    console.print(evaluation_table([(row["policy"], row) for row in rows]))
    written = run / "report" / f"evaluation_{experiment.env.name}_{now_utc().replace(':', '')}.json"
    judged = {name: part for name, part in experiment.to_dict().items() if name != "hardware"}
    write_json(written, {"checkpoint": checkpoint.name, "experiment": judged, "evaluations": rows})
    return written


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
    console = Console(highlight=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # RLlib's and Gymnasium's at import (see __main__)
            written = evaluate(Path(words[0]), words[1:], console)
    except Exception as error:  # noqa: BLE001  # the last frame of the program: told in one line, never swallowed
        sys.exit(report(error))
    console.print(f"Written: {written}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
