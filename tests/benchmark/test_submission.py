"""The files of a submission: complete from the policy's files alone, and with what a run's provenance adds."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dreamer_exp.benchmark.submission import CANDIDATE, CARD, ELIGIBILITY, REGISTRY, SUMS, Origin, write_submission
from dreamer_exp.benchmark.summary import summarise
from dreamer_exp.envs.robot_sf import package
from tests.benchmark.samples import as_line, sample_row
from tests.benchmark.test_summary import CELLS, RESULTS

ORIGIN = Origin(
    model_id="dreamer_exp_run",
    description={"algorithm": "dreamerv3", "extra": {"env_steps": 512, "updates": 8}},
    contract_hash="98bd6bffa396d39f",
    action_repeat=2,
    sha256="ab" * 32,
    size_bytes=1000,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a submission of a policy without a run, next to a checkout without scripts."""
    (tmp_path / "configs" / "scenarios").mkdir(parents=True)
    monkeypatch.setattr(package, "folder", lambda: tmp_path / "robot_sf")
    (tmp_path / "episodes.jsonl").write_bytes(as_line(sample_row()))
    summary = summarise(RESULTS[:3], CELLS)
    lines = write_submission(tmp_path / "submission", ORIGIN, "few", summary, tmp_path / "episodes.jsonl")
    assert len(lines) == 2
    assert "not checked" in lines[1]
    return tmp_path / "submission"


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
    assert sums["policy.safetensors"] == ORIGIN.sha256
    for name in (ELIGIBILITY, CANDIDATE, REGISTRY, CARD):
        assert sums[name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_the_commit_of_the_training_comes_from_provenance() -> None:
    assert ORIGIN.commit == "unknown"
    trained = replace(ORIGIN, provenance={"git": {"commit": "abc", "dirty": True}, "dreamer_exp": "0.2"})
    assert trained.training == "dreamer_exp 0.2 at commit abc with uncommitted changes, env=unknown, 512 env steps"
