"""The text of `dreamer-exp --help`: commands, groups with their options, usual overrides and examples."""

import textwrap
from dataclasses import fields
from pathlib import Path

from dreamer_exp.config.compose import VARYING, config_dir, config_dirs, variants

NO_GROUPS = ("protocol",)  # folders of conf/ whose files are read by path, and are not composed

INTRODUCTION = """\
dreamer-exp: train DreamerV3 on robot tasks, evaluate the policies and compare the runs.

    dreamer-exp [GROUP=OPTION ...] [KEY=VALUE ...]    train one run, into outputs/
    dreamer-exp dry_run=true ...                      print what would happen, and stop
    dreamer-exp resume=RUN [KEY=VALUE ...]            resume a run
    dreamer-exp -m KEY=VALUE,VALUE ...                sweep: a run for each combination
    dreamer-exp sweep.resume=SWEEP                    run the unfinished jobs of a sweep

    dreamer-exp evaluate RUN ...                      evaluate a trained policy on fixed seeds
    dreamer-exp benchmark RUN ...                     a policy in Robot SF's own benchmark
    dreamer-exp compare PATH ...                      compare runs and sweeps
    dreamer-exp runs [DIR ...]                        list runs, or upload their offline W&B data
    dreamer-exp doctor                                show versions, CPUs, GPUs and environments
    dreamer-exp export RUN OUT                        write the policy as an ONNX graph
    dreamer-exp report RUN                            write report/index.html of a run again
    dreamer-exp replay-update FOLDER                  repeat a diverged update on the CPU

`python -m dreamer_exp` is the same program; `dreamer-exp COMMAND --help` describes a command.

Groups and their options (* is the default):
"""

USUAL = """
Usual overrides:
    run.id=NAME                    first part of the run's directory
    run.train_iterations=N         length of the run
    run.checkpoint_every=N         iterations between checkpoints
    run.seed=N                     every random stream
    run.log_level=WARNING          DEBUG, INFO, WARNING or ERROR
    algo.training_ratio=N          replayed steps per env step
{algorithms}
    algo.model_size=S              {sizes}
    algo.horizon_H=N               imagined steps
    algo.batch_size_B=N algo.batch_length_T=N
    hardware.num_env_runners=N     processes that step environments; 0: none
    env.scenario=NAME              open crossing corridor doorway intersection blocks dense mixed

Examples:
    dreamer-exp experiment=quickstart
    dreamer-exp hardware=apple_silicon algo.horizon_H=15
    dreamer-exp algo.model_size=12M hardware=cuda
    dreamer-exp env=gym env.id=CartPole-v1 obs_contract=vector
    dreamer-exp -m algo.training_ratio=32,64 run.seed=1,2,3
    dreamer-exp --config-dir my_conf experiment=mine    add your own folder of groups and options

    --cfg job        print the composed config        --info defaults   where each value comes from
    eval "$(dreamer-exp -sc install=bash)"   complete words with TAB (zsh, fish: docs/tutorials)
    --hydra-help     Hydra's own flags                HYDRA_FULL_ERROR=1  full tracebacks
"""


def help_text(extra_dirs: tuple[Path, ...] = ()) -> str:
    """Return the complete text; options in `extra_dirs`, the folders of `--config-dir`, are listed too."""
    found = {group: options(group, (*config_dirs(), *extra_dirs)) for group in groups()}
    width = max(map(len, found))
    lines = [
        textwrap.fill(
            ", ".join(names), 98, initial_indent=f"    {name:<{width}}  ", subsequent_indent=" " * (width + 6)
        )
        for name, names in found.items()
    ]
    return INTRODUCTION + "\n".join(lines) + "\n" + USUAL.format(algorithms=_algorithms(), sizes=_sizes())


def _algorithms() -> str:
    """Return each algorithm with the first line of its docstring, a line each."""
    found = [(name, (node.__doc__ or "").partition("\n")[0].rstrip(".")) for name, node in variants("algo").items()]
    return "\n".join(f"    {f'algo={name}':<31}{summary}" for name, summary in found)


def _sizes() -> str:
    """Return the model sizes of each algorithm that has a choice of them, a line each."""
    keys = [(name, key) for name, node in variants("algo").items() for key in fields(node) if key.name == "model_size"]
    found = [f"{name}: {' '.join(key.metadata['choices'])}" for name, key in keys if key.metadata["choices"]]
    return f"\n{' ' * 35}".join(found)


def groups() -> list[str]:
    """Return the names of the config groups."""
    return sorted(path.name for path in config_dir().iterdir() if path.is_dir() and path.name not in NO_GROUPS)


def options(group: str, folders: tuple[Path, ...]) -> list[str]:
    """Return the options of a group: those in these folders and those of plug-ins. A star marks the default."""
    defaults = (config_dir() / "config.yaml").read_text(encoding="utf-8")
    files = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
    names = sorted(files.union(variants(group) if group in VARYING else ()))
    return [f"{name}*" if f"- {group}: {name} " in defaults else name for name in names]
