"""Diagnostics of an update that diverged, and the command that repeats it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.protocol import BatchNames
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.algorithms.spec import AlgorithmSpec, spec_of
from dreamer_exp.config.command_words import interpreter
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.make import contract_of
from dreamer_exp.training.divergence import report
from dreamer_exp.training.divergence.report import ranges, read_diagnostics, write_diagnostics
from tests.experiments import NANO, experiment, nano
from tests.paths import CHECKOUT

HUGE_ENV = '''
import gymnasium
import numpy as np


class Huge(gymnasium.Env):
    """Observes numbers that are finite, within its bounds, but too large to be squared."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.array([0.0, 1e20, 0.0], np.float32), 0.0, False, False, {}


gymnasium.register("Huge-v0", Huge)
'''
GYM = [word for word in NANO if not word.startswith("env.")] + ["env=gym", "obs_contract=vector"]
WORDS = {
    "dreamerv3": [*GYM, "env.id=huge_env:Huge-v0", "algo.symlog_obs=false"],
    "dreamerv3_rllib": [*GYM, "env.id=CartPole-v1", "algo=dreamerv3_rllib"],  # which couldn't act on what is huge
}


@pytest.fixture(scope="module", params=["dreamerv3", pytest.param("dreamerv3_rllib", marks=pytest.mark.slow)])
def algo(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def train_and_break(algorithm: BaseDreamerV3) -> None:
    algorithm.train()
    for episode in algorithm.replay_buffer.episodes:  # RLlib's replay
        episode.observations.data[0, 0] = np.inf
    algorithm.train()


@dataclass(frozen=True)
class Diverged:
    """A run's directory with one row, the update that diverged on its observations, and its diagnostics."""

    root: Path
    algorithm: BaseDreamerV3
    spec: AlgorithmSpec
    contract: ObservationContract
    found: NonFiniteUpdate
    folder: Path


@pytest.fixture(scope="module")
def run(algo: str, tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Diverged:
    root, words = tmp_path_factory.mktemp("run"), WORDS[algo]
    (root / "huge_env.py").write_text(HUGE_ENV)
    (root / ".hydra").mkdir()
    (root / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    (root / "result.jsonl").write_text('{"iteration": 1, "env_steps": 8}\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        settings = experiment(*words)
        (root / "experiment.yaml").write_text(settings.to_yaml())
        algorithm = build_algorithm(settings)
        with pytest.raises(NonFiniteUpdate) as raised:
            train_and_break(algorithm)
        contract = contract_of(settings.env, settings.obs_contract)
        folder = write_diagnostics(root, raised.value, algorithm, contract, None, spec=spec_of(settings.algo))
    algorithm.stop()
    return Diverged(root, algorithm, spec_of(settings.algo), contract, raised.value, folder)


def test_the_folder_is_named_by_the_update_and_is_complete(run: Diverged) -> None:
    assert run.folder == run.root / "diagnostics" / f"nonfinite_{run.found.number:09d}"
    names = {"batch.npz", "ranges.json", "losses.json", "rows.json", "command.txt"}
    assert names <= {path.name for path in run.folder.iterdir()}
    assert [path.name for path in run.folder.parent.iterdir()] == [run.folder.name]  # no temporary folder
    assert json.loads((run.folder / "rows.json").read_text()) == [{"iteration": 1, "env_steps": 8}]


def test_the_batch_can_be_read_without_pickle(run: Diverged) -> None:
    batch = read_diagnostics(run.folder).batch
    assert batch.keys() == run.found.batch.keys()
    assert all(np.array_equal(batch[name], run.found.batch[name]) for name in batch)


def test_the_losses_list_what_is_not_finite(run: Diverged) -> None:
    losses = json.loads((run.folder / "losses.json").read_text())
    assert losses["not_finite"] == sorted(run.found.broken)
    assert {losses["figures"][name] for name in losses["not_finite"]} <= {"nan", "inf", "-inf"}


@pytest.mark.slow
def test_the_command_repeats_the_update_in_a_moved_directory(run: Diverged, algo: str, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(run.root, moved)
    python, *command, named = shlex.split((run.folder / "command.txt").read_text())
    assert (python, Path(named)) == (interpreter(), run.folder)
    done = subprocess.run(
        [sys.executable, *command, str(moved / run.folder.relative_to(run.root)), "trust=true"],  # imports its env
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{moved}"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "First not finite: " in done.stdout
    assert "every number is finite" not in done.stdout
    if algo == "dreamerv3":  # its noise is recorded, so that all figures are equal
        rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in done.stdout.splitlines() if "│" in line]
        assert {name for name, _, _ in rows} == run.found.figures.keys()
        assert all(original == replayed for _, original, replayed in rows)
        assert "inf, layers.py:" in done.stdout  # the norm that squares it


def test_a_second_divergence_at_the_same_update_keeps_both(run: Diverged) -> None:
    """If the weights before the update are unknown, the diagnostics name the nearest checkpoint."""
    spoiled = NonFiniteUpdate(run.found.number, run.found.figures, run.found.batch, {}, untouched=False)
    kept = run.root / "checkpoints" / "000000064"
    second = write_diagnostics(run.root, spoiled, run.algorithm, run.contract, kept, spec=run.spec)
    assert second.name == f"{run.folder.name}_2"
    assert read_diagnostics(second).losses["checkpoint"] == "000000064"
    assert read_diagnostics(second).weights is None
    kept.mkdir(parents=True)
    (kept / "policy.safetensors").touch()
    assert read_diagnostics(second).weights == kept


def test_ranges_are_listed_by_observation_key() -> None:
    settings = nano()
    contract = contract_of(settings.env, settings.obs_contract)
    observation = np.full((2, 3, contract.size), 0.5, np.float32)
    observation[0, 1, 20], observation[1, 2, 3] = np.nan, 40.0
    batch = {"observation": observation, "action": np.zeros((2, 3, 2)), "reward": np.full((2, 3), -np.inf)}
    found = ranges(batch, BatchNames("observation", "action", "reward"), contract)
    assert found["observation"]["drive_state"] == {"min": 0.5, "max": 40.0, "not_finite": 0, "low": -1.0, "high": 1.0}
    assert found["observation"]["rays"] == {"min": 0.5, "max": 0.5, "not_finite": 1, "low": 0.0, "high": 1.0}
    assert found["reward"] == {"min": None, "max": None, "not_finite": 6}


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_ARRAYS_BYTES", 1000)
    (tmp_path / "losses.json").write_text('{"update": 1, "figures": {}, "contract_hash": "x"}')
    np.savez_compressed(tmp_path / "batch.npz", observation=np.zeros(10_000))
    with pytest.raises(ValueError, match="its arrays are larger than"):
        report.read_diagnostics(tmp_path)


def test_losses_without_their_contract_are_incomplete(tmp_path: Path) -> None:
    (tmp_path / "losses.json").write_text('{"update": 1, "figures": {}}')
    with pytest.raises(ValueError, match="contract_hash is missing"):
        report.read_diagnostics(tmp_path)
