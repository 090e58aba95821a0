"""The files of a submission: complete from the policy's files alone, and with what a run's provenance adds."""

import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dreamer_exp.benchmark import submission
from dreamer_exp.benchmark.submission import (
    CANDIDATE,
    CARD,
    ELIGIBILITY,
    REGISTRY,
    SCRIPT,
    SUMS,
    Origin,
    check_eligibility,
    policy_card,
    write_submission,
)
from dreamer_exp.benchmark.summary import summarise
from dreamer_exp.envs.robot_sf import package
from tests.benchmark.samples import as_line, sample_row
from tests.benchmark.test_summary import CELLS, RESULTS

ORIGIN = Origin(
    model_id="dreamer_exp_run",
    description={"algorithm": "dreamerv3", "extra": {"env_steps": 512, "updates": 8}},
    contract_hash="98bd6bffa396d39f",
    action_repeat=2,
    weights=Path("policy.safetensors"),
    sha256="ab" * 32,
    size_bytes=1000,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a submission of a policy without a run, next to a checkout without scripts."""
    (tmp_path / "configs" / "scenarios").mkdir(parents=True)
    monkeypatch.setattr(package, "folder", lambda: tmp_path / "robot_sf")
    (tmp_path / "episodes.jsonl").write_bytes(as_line(sample_row()))
    assert "not checked" in write(tmp_path)[1]
    return tmp_path / "submission"


def write(parent: Path, complete: bool = False) -> list[str]:
    summary = summarise(RESULTS if complete else RESULTS[:3], CELLS)
    origin = replace(ORIGIN, weights=parent / "run" / "policy.safetensors")
    return write_submission(parent / "submission", origin, "few", summary, parent / "episodes.jsonl")


def test_every_file_is_valid_yaml_with_the_policys_sum(folder: Path) -> None:
    candidate = yaml.safe_load((folder / CANDIDATE).read_text())
    (entry,) = yaml.safe_load((folder / REGISTRY).read_text())
    card = yaml.safe_load((folder / CARD).read_text().split("```yaml")[1].split("```")[0])
    assert candidate["params"]["policy_sha256"] == ORIGIN.sha256
    assert entry["artifact"] == {"file": "policy.safetensors", "sha256": ORIGIN.sha256, "size_bytes": 1000}
    assert card["artifacts"]["checkpoint_checksum"] == ORIGIN.sha256
    assert yaml.safe_load((folder / ELIGIBILITY).read_text())["benchmark_promotion"]["benchmark_track"] == "lidar_2d_v1"


def test_an_incomplete_result_is_named_as_such(folder: Path) -> None:
    card = (folder / CARD).read_text()
    assert "1 of 4 cells have no row" in " ".join(card.split())
    assert "smoke_only" in card


def test_sums_are_those_of_the_files(folder: Path) -> None:
    sums = dict(reversed(line.split("  ")) for line in (folder / SUMS).read_text().splitlines())
    assert sums.pop("../run/policy.safetensors") == ORIGIN.sha256
    assert sums.keys() == {ELIGIBILITY, CANDIDATE, REGISTRY, CARD, "../episodes.jsonl"}
    for name, digest in sums.items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_files_as_generated_are_replaced(folder: Path) -> None:
    lines = write(folder.parent, complete=True)

    assert "1 of 4 cells" not in (folder / CARD).read_text()
    assert lines[2] == f"Submission: {folder}"


def test_a_file_that_the_user_completed_stays_even_with_its_new_sum(folder: Path) -> None:
    before = hashlib.sha256((folder / CARD).read_bytes()).hexdigest()
    (folder / CARD).write_text("licence: MIT")
    after = hashlib.sha256(b"licence: MIT").hexdigest()
    (folder / SUMS).write_text((folder / SUMS).read_text().replace(before, after))

    lines = [write(folder.parent, complete=True)[2] for _ in range(2)]

    assert (folder / CARD).read_text() == "licence: MIT"
    new = folder.with_name("submission_2")
    assert (new / CARD).is_file()
    assert lines == [f"Submission: {new}; {folder} was edited and stays as it is"] * 2


def test_a_folder_of_something_else_stays(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")

    write(folder.parent)

    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("broken", ["slow", "no Python"])
def test_a_check_that_does_not_run_costs_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    script = folder.parent / SCRIPT
    script.parent.mkdir(parents=True)
    script.write_text("import time\ntime.sleep(60)")
    if broken == "slow":
        monkeypatch.setattr(submission, "CHECK_TIMEOUT_S", 0.1)
    else:
        monkeypatch.setattr(sys, "executable", "/no/such/python")

    assert check_eligibility(folder / ELIGIBILITY).startswith("eligibility.yaml: not checked (")


def test_a_scenario_without_a_success_rate_stands_last_in_the_card() -> None:
    summary = summarise(RESULTS, CELLS)
    summary["by_scenario"]["classic_door"]["success"] = None

    assert "- 'francis2023_hall: success 1.00'\n- 'classic_door: success -'" in policy_card(ORIGIN, "few", summary)


@pytest.mark.parametrize("git", ["abc", ["abc"], None])
def test_a_commit_of_another_type_is_unknown(git: object) -> None:
    assert replace(ORIGIN, provenance={"git": git}).commit == "unknown"


def test_the_commit_of_the_training_comes_from_provenance() -> None:
    assert ORIGIN.commit == "unknown"
    trained = replace(ORIGIN, provenance={"git": {"commit": "abc", "dirty": True}, "dreamer_exp": "0.2"})
    assert trained.training == "dreamer_exp 0.2 at commit abc with uncommitted changes, env=unknown, 512 env steps"
