"""EnvSpec: what is checked when it is constructed, and the specs of this package."""

import subprocess
import sys
from dataclasses import dataclass, field, make_dataclass
from typing import Any

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.plugins import find_plugins
from dreamer_exp.config.schema import EnvConfig, key
from dreamer_exp.envs.spec import EnvSpec, RawEnv, spec_of
from tests.experiments import experiment


def make(config: Any, render_mode: str | None) -> RawEnv:
    raise AssertionError("the spec alone makes no environment")


def options(*fields: Any, name: str = "toy") -> type[EnvConfig]:
    """Return a frozen dataclass of options with further fields."""
    named = ("name", str, key(name, "the environment", choices=(name,)))
    return make_dataclass("Options", [named, *fields], bases=(EnvConfig,), frozen=True)


@dataclass(frozen=True)
class Weights:
    progress: float = key(1.0, "per metre")


@dataclass(frozen=True)
class UntypedWeights:
    progress: float = 1.0


def test_options_may_be_numbers_words_lists_mappings_and_groups() -> None:
    config = options(
        ("size", int, key(1, "size", low=1)),
        ("limit", float | None, key(None, "limit")),
        ("names", list[str], key([], "names")),
        ("weights", dict[str, float], key({}, "weights")),
        ("reward", Weights, field(default_factory=Weights)),
    )
    assert EnvSpec("toy", config, make).config is config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Weights, "Weights has to be a dataclass derived from EnvConfig"),
        (options(name="other"), r"Options\.name is 'other'; its default has to be 'toy'"),
        (options(("size", int, 1)), r"Options\.size has to be made with dreamer_exp\.config\.schema\.key"),
        (
            options(("reward", UntypedWeights, field(default_factory=UntypedWeights))),
            r"UntypedWeights\.progress has",
        ),
        (options(("size", "int", key(1, "size"))), r"Options\.size: remove `from __future__ import annotations`"),
        (options(("pair", set[int], key(frozenset(), "pair"))), "Options: "),
    ],
    ids=["not an EnvConfig", "other name", "no key", "no key in a group", "postponed annotations", "unsupported type"],
)
def test_options_that_cannot_be_keys_are_refused(config: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        EnvSpec("toy", config, make)


def test_environments_of_this_package_are_found_by_their_folders() -> None:
    specs, unavailable, _ = find_plugins("envs")
    assert {"crowd_nav", "gym", "robot_sf"} <= set(specs)
    assert unavailable == {}


@pytest.mark.parametrize("name", ["crowd_nav", "gym", "robot_sf"])
def test_spec_of_an_environment_is_found_by_its_options(name: str) -> None:
    config = experiment(f"env={name}").env
    assert isinstance(config, spec_of(config).config)


def test_options_of_an_unknown_environment_are_refused() -> None:
    with pytest.raises(UserError, match=r"^env\.name='nowhere' is not one of: crowd_nav, gym, robot_sf"):
        spec_of(EnvConfig(name="nowhere"))


def test_finding_the_specs_imports_no_simulator() -> None:
    program = (
        "import sys; from dreamer_exp.config.plugins import find_specs; find_specs('envs');"
        "print(sorted({'navground', 'robot_sf', 'torch', 'ray', 'PIL', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
