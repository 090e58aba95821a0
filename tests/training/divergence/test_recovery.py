"""A run that diverges: it restores its last good checkpoint once, then fails with diagnostics."""

import json
import os
from pathlib import Path

import pytest

from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows
from tests import programs
from tests.experiments import NANO
from tests.paths import CHECKOUT

pytestmark = pytest.mark.end_to_end

EXPLODING = '''
import gymnasium
import numpy as np


class Exploding(gymnasium.Env):
    """Observes 1e38 from its 60th step on: finite, within its bounds, but too large for any loss."""

    observation_space = gymnasium.spaces.Box(-3e38, 3e38, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(3, 1e38 if self.steps > 60 else 0.0, np.float32), 0.0, False, False, {}


gymnasium.register("Exploding-v0", Exploding)
'''


@pytest.mark.slow
def test_a_run_that_diverges_twice_fails_with_diagnostics_and_its_good_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "exploding.py").write_text(EXPLODING)
    root = tmp_path / "run"
    words = [word for word in NANO if not word.startswith("env.")]
    done = programs.run(
        *words, "env=gym", "env.id=exploding:Exploding-v0", "obs_contract=vector",
        "algo.symlog_obs=false", "run.checkpoint_every=1", "run.train_iterations=40", "evaluation.episodes=0",
        "hardware.num_cpus=1", "hardware.num_env_runners=0", "tracking=none", f"hydra.run.dir={root}",
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}:{tmp_path}"}, trains=True,
    )  # fmt: skip
    directory = RunDirectory(root)
    status = json.loads(directory.status.read_text())
    assert done.returncode == 1, done.stdout + done.stderr
    assert (status["state"], status["error"]["type"]) == ("failed", "Diverged")
    assert "once, with other batches" in done.stderr
    assert len(list((root / "diagnostics").iterdir())) == 2
    iterations = [row["iteration"] for row in read_rows(directory.result)]
    assert iterations == list(range(1, len(iterations) + 1))
    assert (directory.checkpoints / "latest").exists()
