"""What Hydra needs to compose a run: the folders of options, the schema, and two resolvers for directory names."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from dreamer_exp.config import schema
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.plugins import SPECS, find_specs

VARYING = tuple(SPECS)
"""Groups whose options have keys of their own."""


OPTION_GROUPS = ("env", "obs_contract", "algo", "hardware", "tracking", "evaluation", "sweep")


def variants(group: str) -> dict[str, type]:
    """Return the dataclass of each option of a group in VARYING, by the option's name.

    A file conf/<group>/<option>.yaml names it in its defaults list as /schema/<group>/<option>. An option of a plug-in
    that brings no such file is the dataclass itself.
    """
    return {name: spec.config for name, spec in find_specs(SPECS[group]).items()}


def config_dirs() -> tuple[Path, ...]:
    """Return the folders of the config groups: our own, then those of plug-ins."""
    specs = [spec for group in VARYING for spec in find_specs(SPECS[group]).values()]
    return (config_dir(), *dict.fromkeys(spec.conf for spec in specs if spec.conf is not None))


def config_dir() -> Path:
    """Return the folder of the config groups: inside the package if installed from a wheel, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    packed = package / "conf"
    return packed if packed.is_dir() else package.parent / "conf"


def prepare() -> None:
    """Make the schema and the options of plug-ins known to Hydra; calling it again changes nothing."""
    _store("schema", "experiment", schema.ExperimentConfig)
    folders = config_dirs()
    for group in VARYING:
        for name, node in variants(group).items():
            _store(f"schema/{group}", name, node)
            if not any((folder / group / f"{name}.yaml").is_file() for folder in folders):
                _store(group, name, node)
    Plugins.instance().register(OptionFolders)


def _store(group: str, name: str, dataclass_type: type) -> None:
    """Make a dataclass known to Hydra as an option, unless it is already: that takes a third of a composition."""
    store = ConfigStore.instance()
    options: Any = store.repo
    for folder in group.split("/"):
        options = options.get(folder, {})
    known = options.get(f"{name}.yaml")
    if known is None or OmegaConf.get_type(known.node) is not dataclass_type:
        store.store(group=group, name=name, node=open_node(dataclass_type), provider="dreamer_exp")


class OptionFolders(SearchPathPlugin):  # type: ignore[misc]  # Hydra is untyped
    """Adds the option folders of plug-ins to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders."""
        for folder in config_dirs()[1:]:
            search_path.append(provider="dreamer_exp", path=f"file://{folder}")


def refuse_option_lists(words: Sequence[str]) -> None:
    """Refuse a list, a mapping or nothing in the place of an option, of which Hydra keeps the last or the default."""
    for word in words:
        group, _, value = word.lstrip("+").partition("=")
        if "=" in word and group in OPTION_GROUPS and (value in ("", "null") or value[0] in "[{"):
            both = " tracking=wandb_tensorboard uses both." if group == "tracking" else ""
            raise UserError(f"{word}: {group} takes the name of one option; under -m, several without brackets.{both}")


def compose_words(overrides: Sequence[str]) -> DictConfig:
    """Compose the config of these overrides without starting a job; no directory is created."""
    refuse_option_lists(overrides)
    prepare()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        config: DictConfig = hydra.compose("config", list(overrides))
        return config


def open_node(dataclass_type: type) -> DictConfig:
    """Return a structured config that can be overridden, and whose mappings (`env.kwargs`) accept new keys.

    OmegaConf makes the configs of frozen dataclasses read-only, and Hydra allows no new key anywhere.
    """
    node: DictConfig = OmegaConf.structured(dataclass_type)
    _unlock(node)
    return node


def _unlock(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    if not is_dataclass(OmegaConf.get_type(node)):
        OmegaConf.set_struct(node, False)
    for name in node:
        child = node._get_node(name)
        if isinstance(child, DictConfig):
            _unlock(child)


_STAMPS: set[str] = set()  # names of directories that this process generated


def is_ours(directory: Path) -> bool:
    """Return whether this process generated the name of the directory, or of the sweep that contains it."""
    return directory.name in _STAMPS or directory.parent.name in _STAMPS


def run_stamp(run_id: str) -> str:
    """Return a new directory name, `<run.id>_<UTC yyyymmddThhmmssZ>_<4 hex>`.

    The random digits separate runs that start in the same second.

    Raises:
        UserError: run.id would name a hidden directory, or one elsewhere.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", run_id):
        raise UserError(
            f"run.id={run_id!r} cannot begin a directory's name: 1 to 80 letters, digits and . _ -, "
            "the first a letter or digit."
        )
    stamp = f"{run_id}_{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{secrets.token_hex(2)}"
    _STAMPS.add(stamp)
    return stamp


def override_summary(override_dirname: str) -> str:
    """Return a short directory name for a job's overrides: `training_ratio=32,batch_size_B=8`."""
    words = [word.rpartition("=")[0].rpartition(".")[2] + "=" + word.rpartition("=")[2]
             for word in override_dirname.split(",") if "=" in word]  # fmt: skip
    return re.sub(r"[^A-Za-z0-9=,._+-]", "-", ",".join(words))[:80].rstrip(",") or "defaults"


# Registered on import and not in prepare(): a launcher's worker imports this module when it unpickles the task, and
# composes the job's config before it calls other code of this package. Hydra sends its ConfigStore to the worker.
OmegaConf.register_new_resolver("run_stamp", run_stamp, use_cache=True, replace=True)
OmegaConf.register_new_resolver("override_summary", override_summary, replace=True)
