"""The benchmark's surface: protocols of Robot SF, and what is wrong with others."""

from pathlib import Path

import pytest

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


def protocol(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(f"name: mine\nseeds: [101]\nscenarios: [door]\n{text}")
    return str(path)


@pytest.mark.parametrize(("name", "cells"), [(CANONICAL, 1440), ("robot_sf_dev", 144), ("robot_sf_smoke", 48)])
def test_the_protocols_of_robot_sf_are_surfaces(checkout: Path, name: str, cells: int) -> None:
    found = read_surface(name)
    assert (len(found.cells), found.horizon, found.dt, found.path) == (cells, 600, 0.1, checkout / MATRIX)


def test_the_canonical_surface_is_described(checkout: Path) -> None:
    assert read_surface(CANONICAL).describe() == "robot_sf_s30_h600: 48 scenarios x 30 seeds, horizon 600"


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
