"""Composition of configs in this process: Hydra composes each choice of options once, and values are set on a copy.

A composition takes 70 ms, most of it for files that are the same in the next test. The values of dotted keys are set by
the function with which Hydra itself sets them; tests/config/test_compose.py compares both ways.
"""

import copy
import re
from functools import cache
from pathlib import Path

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from dreamer_exp.config import compose

DOTTED = re.compile(r"\+{0,2}(?!hydra\.)\w+(\.\w+)+=")  # never an option


def composed(*overrides: str) -> DictConfig:
    """Return the config that Hydra composes from these words of a command line."""
    values = [word for word in overrides if DOTTED.match(word) and not _parsed(word).is_sweep_override()]
    options = tuple(word for word in overrides if word not in values)
    config = copy.deepcopy(_of_options(options))
    ConfigLoaderImpl._apply_overrides_to_config([_parsed(word) for word in values], config)
    return config


def composed_by_hydra(*overrides: str, config_dir: Path | None = None) -> DictConfig:
    """Return the same, from the files in this folder, by default those of the checkout."""
    compose.prepare()
    with hydra.initialize_config_dir(str(config_dir or compose.config_dir()), version_base="1.3"):
        config: DictConfig = hydra.compose("config", list(overrides))
    return config


@cache
def _of_options(options: tuple[str, ...]) -> DictConfig:
    return composed_by_hydra(*options)


@cache
def _parsed(word: str) -> Override:
    (found,) = OverridesParser.create().parse_overrides([word])
    assert isinstance(found, Override)
    return found
