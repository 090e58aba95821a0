"""The wheel: built without a network, complete, and usable without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.paths import CHECKOUT

TIMEOUT_S = 120
CONFIGS = sorted(path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("conf/**/*.yaml"))
TEMPLATES = sorted(path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("dreamer_exp/*/templates/*"))
SCENARIOS = sorted(path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("dreamer_exp/envs/**/*.yaml"))
PRETRAINED = sorted(
    path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("dreamer_exp/pretrained/**/*") if path.is_file()
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, timeout=TIMEOUT_S)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    """Return the names of the wheel's files."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the wheel; return environment variables with its package first on the path."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(folder), str(wheel)], check=True, capture_output=True, timeout=TIMEOUT_S)
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_the_wheel_is_for_every_python_3(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.parametrize("option", CONFIGS)
def test_the_wheel_contains_every_config(contents: set[str], option: str) -> None:
    assert f"dreamer_exp/{option}" in contents


@pytest.mark.parametrize("name", ["dreamer_exp/py.typed", *SCENARIOS, *TEMPLATES, *PRETRAINED])
def test_the_wheel_contains_the_packages_data(contents: set[str], name: str) -> None:
    assert name in contents


def test_the_wheel_contains_only_the_package_its_launcher_and_metadata(contents: set[str]) -> None:
    assert {name.split("/")[0].partition("-")[0] for name in contents} == {"dreamer_exp", "hydra_plugins"}
    assert [name for name in contents if "__pycache__" in name] == []


def test_the_installed_package_is_imported(installed: dict[str, str], tmp_path: Path) -> None:
    done = _python(installed, tmp_path, "-c", "import dreamer_exp; print(dreamer_exp.__file__)")

    assert Path(done.stdout.strip()).is_relative_to(installed["PYTHONPATH"])


def test_the_installed_package_composes_its_own_configs(installed: dict[str, str], tmp_path: Path) -> None:
    done = _python(installed, tmp_path, "-m", "dreamer_exp", "--info", "searchpath")

    assert f"{installed['PYTHONPATH']}{os.sep}dreamer_exp{os.sep}conf" in done.stdout.replace("file://", "")
    assert str(CHECKOUT) not in done.stdout


def test_the_installed_package_does_a_dry_run_in_another_directory(installed: dict[str, str], tmp_path: Path) -> None:
    done = _python(installed, tmp_path, "-m", "dreamer_exp", "dry_run=true")

    assert (done.returncode, done.stderr) == (0, "")
    assert "831 floats" in done.stdout


def test_the_installed_package_is_of_the_version_in_the_changelog(installed: dict[str, str], tmp_path: Path) -> None:
    done = _python(installed, tmp_path, "-m", "dreamer_exp", "--version")
    newest = next(line for line in (CHECKOUT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())

    assert newest.split()[1] == citation["version"] == done.stdout.split()[-1]


def test_the_installed_package_includes_its_launcher(installed: dict[str, str], tmp_path: Path) -> None:
    words = ("-m", "hydra/launcher=ray", "hardware.ray_address=127.0.0.1:1", "run.seed=1,2", "dry_run=true")
    done = _python(installed, tmp_path, "-m", "dreamer_exp", *words)

    assert (done.returncode, done.stderr) == (0, "")
    assert "2 jobs, started by hydra/launcher=ray" in done.stdout


@pytest.mark.slow
def test_the_installed_package_trains_and_evaluates_in_another_directory(
    installed: dict[str, str], tmp_path: Path
) -> None:
    short = ("run.train_iterations=2", "evaluation.episodes=1", "env.max_steps=30", "tracking=none")
    trained = _python(installed, tmp_path, "-m", "dreamer_exp", "experiment=quickstart", *short)
    assert trained.returncode == 0, trained.stderr
    (page,) = tmp_path.glob("outputs/quickstart_*/report/index.html")
    assert f"Report: {page}" in trained.stdout

    words = ("evaluate", "pretrained:robot_sf", "env=crowd_nav", "episodes=1", "workers=0")
    evaluated = _python(installed, tmp_path, "-m", "dreamer_exp", *words)
    assert evaluated.returncode == 0, evaluated.stderr
    assert list(tmp_path.glob("outputs/pretrained_robot_sf/evaluation_crowd_nav_*.json"))


def _python(environ: dict[str, str], directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
