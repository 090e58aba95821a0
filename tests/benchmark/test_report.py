"""The report over all arms of a folder, those of earlier calls too."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from dreamer_exp.benchmark import report
from dreamer_exp.benchmark.arm import Arm
from dreamer_exp.benchmark.planner import Entrant
from dreamer_exp.benchmark.report import BenchmarkReport
from dreamer_exp.benchmark.surface import Surface
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from tests.benchmark.samples import as_line, metric_value, sample_row
from tests.benchmark.test_submission import ORIGIN

CELLS = tuple(EvaluationEpisode(seed, "classic_door") for seed in (101, 102))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two rows of a policy and one of `goal`, next to a checkout without scripts."""
    (tmp_path / "configs" / "scenarios").mkdir(parents=True)
    (tmp_path / "matrix.yaml").write_text("scenarios: [{name: classic_door}]")
    monkeypatch.setattr(package, "folder", lambda: tmp_path / "robot_sf")
    monkeypatch.setattr(report, "load_map_runner", lambda: SimpleNamespace(metric_value=metric_value))
    for name, seeds in {"dreamer_exp": (101, 102), "goal": (101,)}.items():
        rows = [sample_row(seed=seed, algo=name, algorithm_metadata={"algorithm": name}) for seed in seeds]
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "episodes.jsonl").write_bytes(b"".join(map(as_line, rows)))
    return tmp_path / "out"


def test_planners_of_earlier_calls_stay_in_the_report(folder: Path) -> None:
    surface = Surface("few", "matrix.yaml", 600, 0.1, CELLS)
    benchmark = BenchmarkReport(surface, ORIGIN, folder, Console(quiet=True), 1)

    code = benchmark.run([Arm("dreamer_exp", Entrant(Path("policy"), "hash"))])

    arms = json.loads((folder / "benchmark.json").read_text())["arms"]
    assert {name: arm["episodes"] for name, arm in arms.items()} == {"dreamer_exp": 2, "goal": 1}
    assert "| goal | 1! |" in (folder / "benchmark.md").read_text()
    assert code == 0  # the planner that this call did not ask for is not run, nor counted
