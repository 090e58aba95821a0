"""The reference client without torch acts as the policy, and drives an episode of crowd_nav."""

import subprocess
import sys
from pathlib import Path

import pytest

from dreamer_exp import load_policy
from dreamer_exp.exporting.formats import FORMATS
from dreamer_exp.exporting.graph import PolicyGraph
from dreamer_exp.exporting.metadata import metadata
from tests.paths import CHECKOUT
from tests.policy.saved import save_random

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

WITHOUT_TORCH = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.modules["torch"] = None  # importing it fails
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_an_episode_is_driven_without_torch(tmp_path: Path) -> None:
    save_random(tmp_path)
    policy = load_policy(tmp_path)
    graph = PolicyGraph(policy).eval()
    FORMATS["onnx"].write(graph, metadata(policy, graph), tmp_path / "policy.onnx")
    client = str(CHECKOUT / "examples" / "onnx_client.py")
    command = [sys.executable, "-c", WITHOUT_TORCH, client, str(tmp_path / "policy.onnx")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert "steps, return" in done.stdout
