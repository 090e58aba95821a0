"""The benchmark's surface: protocols of Robot SF, and what is wrong with others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dreamer_exp.benchmark import surface
from dreamer_exp.benchmark.surface import CANONICAL, read_surface
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf import package

MATRIX = "configs/scenarios/classic_interactions_francis2023.yaml"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that looks like Robot SF's checkout."""
    (tmp_path / "robot_sf").mkdir()
    (tmp_path / MATRIX).parent.mkdir(parents=True)
    (tmp_path / MATRIX).write_text("scenarios: []")
    monkeypatch.setattr(package, "folder", lambda: tmp_path / "robot_sf")
    return tmp_path


ENV = f"env: {{name: robot_sf, max_steps: 9, scenario_matrix: {{path: {MATRIX}}}}}"


def protocol(folder: Path, text: str, cells: str = "seeds: [101]\nscenarios: [door]") -> str:
    path = folder / "mine.yaml"
    path.write_text(f"name: mine\n{cells}\n{text}")
    return str(path)


def read_matrix(path: Path) -> list[Mapping[str, Any]]:
    """Return the scenarios of a file, as Robot SF's loader does."""
    scenarios: list[Mapping[str, Any]] = yaml.safe_load(path.read_text())["scenarios"]
    return scenarios


@pytest.mark.parametrize(("name", "cells"), [(CANONICAL, 1440), ("robot_sf_dev", 144), ("robot_sf_smoke", 48)])
def test_the_protocols_of_robot_sf_are_surfaces(checkout: Path, name: str, cells: int) -> None:
    found = read_surface(name)
    assert (len(found.cells), found.horizon, found.dt, found.path) == (cells, 600, 0.1, checkout / MATRIX)


def test_the_canonical_surface_is_described(checkout: Path) -> None:
    assert read_surface(CANONICAL).describe() == "robot_sf_s30_h600: 48 scenarios x 30 seeds, horizon 600"


def test_a_list_that_is_no_product_is_described_by_its_number_of_cells(checkout: Path, tmp_path: Path) -> None:
    cells = "episodes: [{seed: 101, scenario: door}, {seed: 102, scenario: door}, {seed: 101, scenario: hall}]"
    assert read_surface(protocol(tmp_path, ENV, cells)).describe() == "mine: 3 cells, horizon 9"


def test_cells_without_a_scenario_are_refused(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lists no scenarios of Robot SF"):
        read_surface(protocol(tmp_path, ENV, "seeds: [101, 102]"))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("scenarios: [{name: doors}]", r"has no scenario 'door'\. Did you mean 'doors'\? Correct the name"),
        ("other: []", r"cannot be read \("),
    ],
)
def test_a_scenario_that_the_file_lacks_is_refused(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matrix: str, message: str
) -> None:
    (checkout / MATRIX).write_text(matrix)
    monkeypatch.setattr(package, "load", lambda: package.RobotSF(*[read_matrix] * 5))
    found = read_surface(protocol(tmp_path, ENV))
    with pytest.raises(UserError, match=message):
        found.scenarios()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("env: {name: crowd_nav}", "lists no scenarios of Robot SF; use robot_sf_smoke"),
        ("env: {name: robot_sf, max_steps: 600}", "lists no scenarios of Robot SF"),
        (f"env: {{name: robot_sf, scenario_matrix: {{path: {MATRIX}}}}}", "max_steps=None has to be the horizon"),
        (
            f"env: {{name: robot_sf, max_steps: 9, dt: 5, scenario_matrix: {{path: {MATRIX}}}}}",
            "dt=5 has to be seconds",
        ),
        ("env: {name: robot_sf, max_steps: 9, scenario_matrix: {path: no.yaml}}", "no.yaml is missing from"),
    ],
)
def test_other_protocols_are_refused_in_a_line(checkout: Path, tmp_path: Path, env: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_surface(protocol(tmp_path, env))


def test_without_robot_sf_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: None)
    with pytest.raises(
        UserError, match=r"^benchmark: the package robot_sf is not installed\. To install it: pip install"
    ):
        read_surface(CANONICAL)


def test_an_installed_package_without_scenarios_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: tmp_path / "robot_sf")
    with pytest.raises(UserError, match="has no configs/scenarios, which come with a checkout"):
        surface.read_surface(CANONICAL)
