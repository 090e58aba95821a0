"""Policies of the package: packing one with its card, naming it, and evaluating it like a run."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file

from dreamer_exp.checkpoints import policy_source
from dreamer_exp.checkpoints.manifest import sha256
from dreamer_exp.checkpoints.pack import MAX_TOTAL_BYTES, MIN_INT8, RATES, pack, total_bytes
from dreamer_exp.checkpoints.policy_description import TENSORS
from dreamer_exp.checkpoints.policy_file import load_policy
from dreamer_exp.checkpoints.policy_source import find_policy, pretrained_names
from dreamer_exp.checkpoints.policy_tensors import SCALE
from dreamer_exp.cli.evaluate import EvaluationRequest, evaluate
from dreamer_exp.config.errors import UserError
from tests.checkpoints.policies import saved_run
from tests.experiments import nano


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of pretrained policies with one, small."""
    saved_run(tmp_path / "run", nano("evaluation.baselines=[]"))
    monkeypatch.setattr(policy_source, "PRETRAINED", tmp_path / "pretrained")
    pack(find_policy(str(tmp_path / "run")), tmp_path / "pretrained" / "small", "Drives nowhere.", [], acting_only=True)
    return tmp_path / "pretrained"


def test_a_packed_policy_has_the_weights_for_acting(pretrained: Path) -> None:
    tensors = load_file(pretrained / "small" / TENSORS)

    assert {name.split(".")[1] for name in tensors} == {"encoder", "rssm", "actor"}


def test_large_weights_are_packed_in_int8_and_small_ones_in_float16(pretrained: Path) -> None:
    stored = load_file(pretrained / "small" / TENSORS).items()
    weights = [tensor for name, tensor in stored if not name.endswith(SCALE)]

    assert {weight.dtype.name for weight in weights if weight.size >= MIN_INT8} == {"int8"}
    assert {weight.dtype.name for weight in weights if weight.size < MIN_INT8} == {"float16"}


@pytest.mark.parametrize("name", ["agent.actor.0.weight", "agent.actor.0.bias"])
def test_a_weight_that_is_not_finite_is_not_packed(tmp_path: Path, name: str) -> None:
    saved_run(tmp_path / "run", nano())
    source = find_policy(str(tmp_path / "run"))
    weights = load_file(source.folder / TENSORS)
    weights[name].flat[0] = float("nan")
    save_file(weights, source.folder / TENSORS)

    with pytest.raises(UserError, match=f"{name} has a weight that is not finite"):
        pack(source, tmp_path / "pretrained" / "small", "", [], acting_only=True)


def test_a_packed_weight_differs_by_at_most_half_a_step_of_its_row(pretrained: Path, tmp_path: Path) -> None:
    source = find_policy(str(tmp_path / "run")).folder
    trained, packed = (dict(load_policy(folder).named_parameters()) for folder in (source, pretrained / "small"))

    for name in load_file(pretrained / "small" / TENSORS):
        if name in trained:
            step = trained[name].abs().amax(-1, keepdim=True) / 127
            assert bool(((trained[name] - packed[name]).abs() <= step * 0.501).all()), name


def test_the_card_names_data_limits_and_hashes(pretrained: Path) -> None:
    card = (pretrained / "small" / "card.md").read_text(encoding="utf-8")

    assert "| trained in | env=crowd_nav, obs_contract=drive_state_rays |" in card
    assert "| env steps, updates | 512, 8 |" in card
    assert "Drives nowhere." in card
    assert sha256(pretrained / "small" / TENSORS) in card


def test_the_card_names_the_scenario_of_a_figure(pretrained: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    rates = {f"{name}_rate": 0.5 for name in RATES} | {f"{name}_interval_95": [0.4, 0.6] for name in RATES}
    evaluation = {"episodes": 4, "episodes_chosen": "seeds 1 to 4", **rates}
    report.write_text(
        json.dumps({"experiment": {"env": {"name": "crowd_nav", "scenario": "dense"}}, "evaluations": [evaluation]})
    )
    pack(find_policy(str(tmp_path / "run")), pretrained / "small", "Drives nowhere.", [report], acting_only=True)

    assert "| crowd_nav dense, seeds 1 to 4 | 4 | 0.500 (" in (pretrained / "small" / "card.md").read_text()


@pytest.mark.parametrize("name", pretrained_names())
def test_a_policy_of_this_package_drives_to_its_goal_in_an_empty_arena(name: str, tmp_path: Path) -> None:
    request = EvaluationRequest(
        Path(f"pretrained:{name}"),
        ["env=crowd_nav", "env.scenario=open", "evaluation.episodes=3", "evaluation.baselines=[]"],
        workers=0,
        out=tmp_path,
    )
    evaluate(request, Console(quiet=True))

    report = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert report["evaluations"][0]["success_rate"] == 1.0


def test_the_policies_of_this_package_take_at_most_6_mb() -> None:
    assert pretrained_names() == ["crowd_nav", "robot_sf"]
    assert total_bytes() <= MAX_TOTAL_BYTES


def test_a_pretrained_policy_is_evaluated_from_another_directory(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    evaluate(EvaluationRequest(Path("pretrained:small"), ["evaluation.episodes=1"], workers=0), Console(quiet=True))

    written = {path.suffix for path in (tmp_path / "work" / "outputs" / "pretrained_small").iterdir()}
    assert {".json", ".png"} <= written
    assert {path.name for path in (pretrained / "small").iterdir()} == {
        "card.md", "experiment.yaml", "manifest.json", "policy.json", "policy.safetensors",
    }  # fmt: skip


def test_an_unknown_name_is_answered_with_those_there_are(pretrained: Path) -> None:
    with pytest.raises(UserError, match=r"pretrained:smal: no such .* Did you mean 'small'\? There are: small"):
        find_policy("pretrained:smal")


def test_a_name_that_leads_elsewhere_is_unknown(pretrained: Path) -> None:
    shutil.copytree(pretrained / "small", pretrained.parent / "outside")

    with pytest.raises(UserError, match="no such pretrained policy"):
        find_policy("pretrained:../outside")


def test_a_damaged_pretrained_policy_is_refused(pretrained: Path) -> None:
    with open(pretrained / "small" / TENSORS, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")

    with pytest.raises(UserError, match=r"policy\.safetensors: .*different from manifest\.json; install"):
        find_policy("pretrained:small")


def test_a_policy_larger_than_the_package_allows_is_not_packed(tmp_path: Path) -> None:
    saved_run(tmp_path / "run", nano("algo.model_size=12M"))

    with pytest.raises(UserError, match=r"6\.\d MiB of weights.* are more than .* train a smaller"):
        pack(find_policy(str(tmp_path / "run")), tmp_path / "pretrained" / "large", "", [], acting_only=True)

    assert not (tmp_path / "pretrained" / "large").exists()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"experiment": {"env": {"name": "x"}}, "evaluations": [{}]}'])
def test_a_report_without_figures_is_refused(pretrained: Path, tmp_path: Path, content: str | None) -> None:
    report = tmp_path / "report.json"
    if content is not None:
        report.write_text(content)

    with pytest.raises(UserError, match=r"^report=.*report\.json"):
        pack(find_policy("pretrained:small"), pretrained / "other", "", [report], acting_only=True)

    assert not (pretrained / "other").exists()


def test_policies_of_the_package_agree_with_their_manifests_and_are_small() -> None:
    for name in policy_source.pretrained_names():
        find_policy(f"pretrained:{name}")

    assert total_bytes() <= MAX_TOTAL_BYTES
