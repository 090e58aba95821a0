"""`-m ...` as Hydra will read it: the directory, the launcher, and every job's words and config, before any begins."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # the one place that says what its jobs will be
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from dreamer_exp.config import compose
from dreamer_exp.config.errors import UserError

FLAGS = ("-m", "--multirun")
DIRS = ("--config-dir", "-cd")


@dataclass(frozen=True)
class Multirun:
    """A sweep as composed; `jobs` holds each one's name and config, and is empty where a sweeper chooses on the way."""

    root: Path
    launcher: str
    sweeper: str
    hydra: DictConfig  # Hydra's own node: its launcher and sweeper with their settings
    common: DictConfig  # without what is swept
    jobs: list[tuple[str, DictConfig]]
    samples: list[tuple[str, DictConfig]]  # where a sweeper chooses: each value that it may take, by itself
    decided: list[str]  # words for Hydra that follow from all of this

    def says(self, key: str) -> bool:
        """Whether the command line gives this key of Hydra's a value."""
        return any(word.partition("=")[0].lstrip("+") == key for word in _words(self.hydra.overrides.hydra))


def asked_for(words: Sequence[str]) -> bool:
    """Whether a command line begins a sweep, and doesn't just ask Hydra something."""
    rest = [word for word in words if word not in FLAGS and not word.startswith(DIRS)]
    return bool(set(FLAGS) & set(words)) and not any(word.startswith("-") for word in rest)


def refuse_without_flag(config: DictConfig) -> None:
    """Raises UserError for a named sweep in a single run, which would run one of its settings and no sweep."""
    if config.sweep.name != "none":
        raise UserError(f"sweep={config.sweep.name} runs many jobs: add -m.")


def parse(words: Sequence[str]) -> Multirun:
    """The sweep behind a command line.

    Raises:
        UserError: a word that a sweep cannot take.
        HydraException: one that Hydra cannot; see mistakes.py.
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
        sweeper = str(master.hydra.runtime.choices["hydra/sweeper"])

        def compose_job(job: list[str]) -> tuple[str, DictConfig]:
            config = loader.load_configuration("config", [*of_hydra, *job], run_mode=RunMode.RUN)
            return _name(job, swept(parsed)), without_hydra(config)

        jobs = [compose_job(job) for job in _jobs(parsed)] if sweeper == "basic" else []
        samples = [] if sweeper == "basic" else [compose_job(job) for job in _samples(parsed)]
    root = Path(master.hydra.sweep.dir).absolute()
    return Multirun(
        root=root,
        launcher=str(master.hydra.runtime.choices["hydra/launcher"]),
        sweeper=sweeper,
        hydra=master.hydra,
        common=without_hydra(master),
        jobs=jobs,
        samples=samples,
        decided=[f"hydra.sweep.dir={quoted(root)}", _left_out_of_names(parsed)],
    )


def refuse_own_subdir(words: Sequence[str]) -> None:
    """Raises UserError for jobs' directories of another form: they are found by the numbers that they begin with."""
    if any(word.lstrip("+").startswith("hydra.sweep.subdir=") for word in words):
        raise UserError("hydra.sweep.subdir: jobs' directories are named by their numbers; choose hydra.sweep.dir.")


def _words(overrides: ListConfig) -> list[str]:
    """As typed: a ${reference} in them is a job's, not this config's."""
    found = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(found, list)
    return [str(word) for word in found]


def swept(overrides: Sequence[Override]) -> list[str]:
    """The keys that have several values."""
    return [override.get_key_element() for override in overrides if override.is_sweep_override()]


def quoted(path: Path | str) -> str:
    """A path as Hydra's grammar takes it, whatever characters are in it."""
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _overrides(words: Sequence[str]) -> Iterator[str]:
    """The words without flags; each --config-dir as what it means."""
    waiting = iter(words)
    folders = []
    for word in waiting:
        flag, _, folder = word.partition("=")
        if flag in DIRS:
            folders.append(folder or next(waiting, ""))
        elif word not in FLAGS:
            yield word
    if folders:
        yield f"hydra.searchpath=[{','.join(quoted(f'file://{Path(folder).absolute()}') for folder in folders)}]"


def _jobs(overrides: list[Override]) -> list[list[str]]:
    """Every job's words, in the order of their numbers, as Hydra's own sweeper takes them."""
    jobs: list[list[str]]
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    return jobs


def _samples(overrides: list[Override]) -> list[list[str]]:
    """What all jobs share, by itself and with each value that some may have."""
    keys = swept(overrides)
    fixed = [str(override.input_line) for override in overrides if override.get_key_element() not in keys]
    found = [fixed]
    for override in overrides:
        if override.is_sweep_override():
            found += [[*fixed, f"{override.get_key_element()}={value}"] for value in _values(override)]
    return found


def _values(override: Override) -> list[str]:
    """All that a swept key may be; of a range or an interval its ends."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [str(value.start), str(value.end)]
    values = list(override.sweep_string_iterator())
    return [values[0], values[-1]] if override.is_range_sweep() else values


def _name(job: Sequence[str], keys: Sequence[str]) -> str:
    """What sets a job apart: the words of the swept keys."""
    return " ".join(word for word in job if word.partition("=")[0] in keys)


def _left_out_of_names(overrides: Sequence[Override]) -> str:
    """Keys that all jobs share don't enter the names of their directories."""
    varying = {override.key_or_group for override in overrides if override.is_sweep_override()}
    keys = {"run.id", *(override.key_or_group for override in overrides)} - varying
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(sorted(keys))}]"


def without_hydra(config: DictConfig) -> DictConfig:
    """The part that is ours, as a job gets it."""
    ours = deepcopy(config)
    with read_write(ours), open_dict(ours):
        del ours["hydra"]
    return ours
