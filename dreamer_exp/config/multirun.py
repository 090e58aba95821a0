"""A sweep as Hydra will run it: directory, launcher, and the overrides and config of every job, before any starts."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # only here can its jobs be listed in advance
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from dreamer_exp.config import compose
from dreamer_exp.config.command_words import quoted
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.option_files import split_dirs

FLAGS = ("-m", "--multirun")


@dataclass(frozen=True)
class Multirun:
    """A composed sweep."""

    root: Path
    launcher: str  # option of hydra/launcher
    sweeper: str  # option of hydra/sweeper
    hydra: DictConfig  # Hydra's node: settings of its launcher and sweeper
    common: DictConfig  # config without the swept keys
    jobs: list[tuple[str, DictConfig]]  # name and config of each; empty if the sweeper chooses values while it runs
    samples: list[tuple[str, DictConfig]]  # if the sweeper chooses: a config for each single value it may choose
    hydra_overrides: list[str]  # to add to the command line of the sweep

    def sets(self, key: str) -> bool:
        """Return whether the command line sets this key of Hydra's node."""
        return any(word.partition("=")[0].lstrip("+") == key for word in _words(self.hydra.overrides.hydra))


def is_sweep(words: Sequence[str]) -> bool:
    """Return whether a command line starts a sweep; with a flag such as --help or --cfg it does not."""
    rest = [word for word in split_dirs(words)[0] if word not in FLAGS]
    return bool(set(FLAGS) & set(words)) and not any(word.startswith("-") for word in rest)


def refuse_without_flag(config: DictConfig) -> None:
    """Raise UserError for `sweep=<option>` without -m, which would run a single job."""
    if config.sweep.name != "none":
        raise UserError(f"sweep={config.sweep.name} runs many jobs: add -m.")


def parse(words: Sequence[str]) -> Multirun:
    """Compose the sweep of a command line.

    Raises:
        UserError: A word cannot be used in a sweep.
        HydraException: Hydra cannot compose it; `composition_errors.user_error` converts it.
    """
    compose.prepare()
    with hydra.initialize_config_dir(str(compose.config_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        parser = OverridesParser.create(config_loader=loader)
        typed = list(_overrides(words))
        master = loader.load_configuration("config", overrides=typed, run_mode=RunMode.MULTIRUN)
        params = [f"{key}={value}" for key, value in (master.hydra.sweeper.get("params") or {}).items()]
        parsed = parser.parse_overrides([*params, *_words(master.hydra.overrides.task)])
        of_hydra = _words(master.hydra.overrides.hydra)
        refuse_own_subdir(of_hydra)
        refuse_empty(parsed)
        sweeper = str(master.hydra.runtime.choices["hydra/sweeper"])

        def compose_job(job: list[str]) -> tuple[str, DictConfig]:
            config = loader.load_configuration("config", [*of_hydra, *job], run_mode=RunMode.RUN)
            return _name(job, swept(parsed)), without_hydra(config)

        jobs = [compose_job(job) for job in _jobs(parsed)] if sweeper == "basic" else []
        samples = [] if sweeper == "basic" else [compose_job(job) for job in _samples(parsed)]
    if not master.hydra.sweep.dir:
        raise UserError("hydra.sweep.dir is empty; name a directory, as hydra.sweep.dir=multirun/mine.")
    root = Path(master.hydra.sweep.dir).absolute()
    return Multirun(
        root=root,
        launcher=str(master.hydra.runtime.choices["hydra/launcher"]),
        sweeper=sweeper,
        hydra=master.hydra,
        common=without_hydra(master),
        jobs=jobs,
        samples=samples,
        hydra_overrides=[f"hydra.sweep.dir={quoted(root)}", _left_out_of_names(parsed)],
    )


def refuse_empty(overrides: Sequence[Override]) -> None:
    """Raise UserError for a swept key without values, as range(5,5), or a glob that fits no option: it makes no job."""
    for override in overrides:
        if not override.is_sweep_override() or override.is_interval_sweep():
            continue
        if next(iter(override.sweep_string_iterator()), None) is None:
            raise UserError(f"{override.input_line}: -m needs at least one value, and this has none.")


def refuse_own_subdir(words: Sequence[str]) -> None:
    """Raise UserError for hydra.sweep.subdir: jobs are found by the numbers at the start of directory names."""
    if any(word.lstrip("+").startswith("hydra.sweep.subdir=") for word in words):
        raise UserError("hydra.sweep.subdir: jobs' directories are named by their numbers; choose hydra.sweep.dir.")


def _words(overrides: ListConfig) -> list[str]:
    """Return the overrides as typed: a ${reference} in them is resolved in a job's config."""
    found = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(found, list)
    return [str(word) for word in found]


def swept(overrides: Sequence[Override]) -> list[str]:
    """Return the keys that have several values."""
    return [override.get_key_element() for override in overrides if override.is_sweep_override()]


def _overrides(words: Sequence[str]) -> Iterator[str]:
    """Yield the words without flags; --config-dir becomes an override of hydra.searchpath."""
    others, folders = split_dirs(words)
    yield from (word for word in others if word not in FLAGS)
    if folders:
        yield f"hydra.searchpath=[{','.join(quoted(f'file://{folder.absolute()}') for folder in folders)}]"


def _jobs(overrides: list[Override]) -> list[list[str]]:
    """Return the overrides of every job in the order of Hydra's basic sweeper."""
    jobs: list[list[str]]
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    return jobs


def _samples(overrides: list[Override]) -> list[list[str]]:
    """Return the overrides that all jobs share: alone, and with each single value of a swept key."""
    keys = swept(overrides)
    fixed = [str(override.input_line) for override in overrides if override.get_key_element() not in keys]
    found = [fixed]
    for override in overrides:
        if override.is_sweep_override():
            found += [[*fixed, f"{override.get_key_element()}={value}"] for value in _values(override)]
    return found


def _values(override: Override) -> list[str]:
    """Return the values of a swept key; of a range or interval, the ends."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [str(value.start), str(value.end)]
    values = list(override.sweep_string_iterator())
    return [values[0], values[-1]] if override.is_range_sweep() else values


def _name(job: Sequence[str], keys: Sequence[str]) -> str:
    """Return a job's name: its overrides of the swept keys."""
    return " ".join(word for word in job if word.partition("=")[0] in keys)


def _left_out_of_names(overrides: Sequence[Override]) -> str:
    """Return Hydra's override that leaves the keys shared by all jobs out of their directories' names."""
    varying = {override.key_or_group for override in overrides if override.is_sweep_override()}
    keys = {"run.id", *(override.key_or_group for override in overrides)} - varying
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(sorted(keys))}]"


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a copy without Hydra's node."""
    rest = deepcopy(config)
    with read_write(rest), open_dict(rest):
        del rest["hydra"]
    return rest
