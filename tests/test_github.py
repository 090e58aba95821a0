"""The workflows of .github/ run what the project declares."""

import os
import tomllib
from typing import Any

import yaml

from tests.paths import CHECKOUT

WORKFLOWS = CHECKOUT / ".github" / "workflows"
DECLARED = "Programming Language :: Python :: "


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))["jobs"]


def test_every_declared_python_runs_every_test() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [line.removeprefix(DECLARED) for line in project["classifiers"] if line.startswith(DECLARED)]
    job = workflow("ci.yml")["tests"]

    assert job["strategy"]["matrix"]["python"] == versions
    assert {"run": ".ci/run"} in job["steps"]
    assert os.access(CHECKOUT / ".ci" / "run", os.X_OK)


def test_site_is_built_strictly_with_packages_of_exact_versions() -> None:
    steps = [step.get("run", "") for step in workflow("docs.yml")["site"]["steps"]]
    constraints = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8")

    assert any("mkdocs build --strict" in step for step in steps)
    assert all(f"\n{name}==" in constraints for name in ("mkdocs-material", "mkdocstrings", "mkdocstrings-python"))


def test_the_wheel_is_installed_and_used_where_there_is_no_checkout() -> None:
    steps = workflow("ci.yml")["package"]["steps"]
    used = next(step for step in steps if "dreamer-exp experiment=quickstart" in step.get("run", ""))

    assert any("twine check --strict" in step.get("run", "") for step in steps)
    assert used["working-directory"] == "/tmp"
