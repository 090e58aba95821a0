"""The command export: its words, and a file that is written and checked."""

from pathlib import Path

import pytest
import torch

from dreamer_exp import load_policy
from dreamer_exp.cli.errors import CommandFailed
from dreamer_exp.cli.export import read_words, run
from dreamer_exp.config.errors import UserError
from dreamer_exp.exporting import formats
from dreamer_exp.exporting.graph import PolicyGraph
from dreamer_exp.monitoring.progress import LiveLine
from tests.paths import CHECKOUT
from tests.policy.saved import pack_acting_only, save_random


def test_a_policy_is_written_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_random(tmp_path / "policy")

    assert run([str(tmp_path / "policy"), str(tmp_path / "out"), "format=torchscript", "steps=50"]) == 0
    assert (tmp_path / "out" / "policy.pt").is_file()
    assert "0 of 50 steps" in capsys.readouterr().out


def test_a_policy_without_a_critic_is_written_without_a_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_random(tmp_path / "policy")
    pack_acting_only(tmp_path / "policy")

    assert run([str(tmp_path / "policy"), str(tmp_path / "out"), "format=torchscript", "steps=50"]) == 0
    assert "the policy has no critic (acting_only): the file has no output value\n" in capsys.readouterr().out
    outputs = formats.FORMATS["torchscript"].open(tmp_path / "out" / "policy.pt")(
        [part.numpy() for part in PolicyGraph(load_policy(tmp_path / "policy")).example(1)]
    )
    assert len(outputs) == 1 + len(load_policy(tmp_path / "policy").state.tensors)


def test_files_are_compared_with_one_thread_and_the_steps_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_random(tmp_path / "policy")
    threads: set[int] = set()
    show = LiveLine.show
    monkeypatch.setattr(LiveLine, "show", lambda *words: (threads.add(torch.get_num_threads()), show(*words)))
    monkeypatch.setattr("dreamer_exp.monitoring.progress.Pace.__call__", lambda pace: True)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run([str(tmp_path / "policy"), str(tmp_path / "out"), "format=torchscript", "steps=20"])
    finally:
        torch.set_num_threads(before)
    assert threads == {1}
    assert "compared with the policy: 20 of 20 steps, 0 s left\n" in capsys.readouterr().out


def test_a_file_that_differs_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_random(tmp_path / "policy")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "policy.pt").write_text("earlier")
    monkeypatch.setattr("dreamer_exp.exporting.check.TOLERANCE", -1.0)

    with pytest.raises(CommandFailed, match=r"policy.pt: differs from the policy by .* it was not written"):
        run([str(tmp_path / "policy"), str(tmp_path / "out"), "format=torchscript", "steps=5"])
    assert [(file.name, file.read_text()) for file in (tmp_path / "out").iterdir()] == [("policy.pt", "earlier")]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run"], "export takes a run and a folder to write"),
        (["run", "out", "format=tflite"], "format=tflite: allowed are onnx and torchscript."),
        (["run", "out", "dtype=int4"], "dtype=int4: 'int4' is not one of: float32, float16, int8."),
        (["run", "out", "dtype=int8", "format=torchscript"], "format=torchscript has float32 only; use format=onnx."),
        (["run", "out", "episodes=some"], "episodes=some: it takes a whole number of at least 0."),
        (["run", "out", "steps=0"], "steps=0: it takes a whole number of at least 1."),
        (
            ["run", "out", "formt=onnx"],
            "'formt' is not one of: format, dtype, steps, episodes, trust. Did you mean",
        ),
    ],
)
def test_a_wrong_word_is_named(words: list[str], line: str) -> None:
    with pytest.raises(UserError) as raised:
        read_words(words)
    assert line in str(raised.value)


@pytest.mark.slow
def test_episodes_are_driven_by_the_policy_and_its_files_and_stand_in_the_card(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    source = CHECKOUT / "tests" / "data" / "release_0_1" / "dreamerv3_rllib"
    words = [str(source), str(tmp_path / "out"), "dtype=float32,float16,int8", "steps=20", "episodes=2"]

    assert run(words) == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "policy.onnx", "policy_float16.onnx", "policy_int8.onnx", "card.md",
    }  # fmt: skip
    rows = (tmp_path / "out" / "card.md").read_text().splitlines()
    policy = next(row for row in rows if row.startswith("| the policy in torch"))
    assert policy.endswith("| 0 of 2 | 2 of 2 |")
    assert sum(row.startswith("| policy") for row in rows) == 3


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="format=onnx needs onnx, onnxscript, onnxruntime: pip install 'dreamer-exp"):
        formats.FORMATS["onnx"].require()
