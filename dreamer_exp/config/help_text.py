"""The text of `python -m dreamer_exp --help`: the groups with their options, the usual overrides, examples."""

import textwrap
from pathlib import Path

from dreamer_exp.config.compose import VARYING, config_dir, config_dirs, variants
from dreamer_exp.config.sizes import FAST_SIZES, RLLIB_SIZES

INTRODUCTION = """\
dreamer_exp: composes one DreamerV3 experiment from config groups, and runs it.

    python -m dreamer_exp [GROUP=OPTION ...] [KEY=VALUE ...]     train, into outputs/
    python -m dreamer_exp dry_run=true ...                       print what would happen, and stop
    python -m dreamer_exp resume=RUN ...                         go on with a run
    python -m dreamer_exp -m KEY=VALUE,VALUE ...                 one run a combination, into multirun/
    python -m dreamer_exp sweep.resume=SWEEP                     go on with what isn't finished of it

    python -m dreamer_exp.evaluate RUN      python -m dreamer_exp.compare PATH...
    python -m dreamer_exp.runs [DIR]        python -m dreamer_exp.doctor

Groups and their options (* is the default):
"""

USUAL = """
The overrides people use:
    run.id=NAME                    first part of the run's directory
    run.train_iterations=N         length of the run
    run.checkpoint_every=N         iterations between checkpoints
    run.seed=N                     every random stream
    run.log_level=WARNING          DEBUG, INFO, WARNING or ERROR
    algo.training_ratio=N          replayed steps per env step
    algo.learner=rllib             RLlib's stock learner, instead of fast: DreamerV3 as published
    algo.model_size=S              fast: {fast}
                                   rllib: {rllib}
    algo.horizon_H=N               imagined steps
    algo.batch_size_B=N algo.batch_length_T=N
    hardware.num_env_runners=N     processes that step environments; 0: none
    env.scenario=NAME              open crossing corridor doorway intersection blocks dense mixed

Examples:
    python -m dreamer_exp experiment=quickstart
    python -m dreamer_exp hardware=apple_silicon algo.horizon_H=15
    python -m dreamer_exp algo.model_size=12M hardware=cuda
    python -m dreamer_exp env=gym env.id=CartPole-v1 obs_contract=vector
    python -m dreamer_exp -m algo.training_ratio=32,64 run.seed=1,2,3
    python -m dreamer_exp --config-dir my_conf experiment=mine   your own folder of groups joins the search path

    --cfg job        print the composed config        --info defaults   where each value comes from
    --hydra-help     Hydra's own flags                HYDRA_FULL_ERROR=1  full tracebacks
"""


def help_text(extra_dirs: tuple[Path, ...] = ()) -> str:
    """The whole text; `extra_dirs` are the user's `--config-dir` folders, whose options are listed too."""
    groups = {folder.name: options(folder.name, (*config_dirs(), *extra_dirs)) for folder in sorted(_groups())}
    width = max(map(len, groups))
    lines = [
        textwrap.fill(
            ", ".join(found), 98, initial_indent=f"    {name:<{width}}  ", subsequent_indent=" " * (width + 6)
        )
        for name, found in groups.items()
    ]
    usual = USUAL.format(fast=" ".join(FAST_SIZES), rllib=" ".join(RLLIB_SIZES))
    return INTRODUCTION + "\n".join(lines) + "\n" + usual


def _groups() -> list[Path]:
    return [path for path in config_dir().iterdir() if path.is_dir()]


def options(group: str, folders: tuple[Path, ...]) -> list[str]:
    """Return the options of a group: those in these folders and those of plug-ins. A star marks the default."""
    defaults = (config_dir() / "config.yaml").read_text(encoding="utf-8")
    files = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
    names = sorted(files.union(variants(group) if group in VARYING else ()))
    return [f"{name}*" if f"- {group}: {name} " in defaults else name for name in names]
