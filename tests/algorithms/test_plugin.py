"""An algorithm in a package of its own: installed, listed, configured, trained, evaluated and resumed."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.experiments import NANO
from tests.paths import CHECKOUT
from tests.plugins import install, python

PACKAGE = CHECKOUT / "tests" / "algorithms" / "plugin_package"
WORDS = ("algo=dreamerv3_decay", "env=gym", "env.id=CartPole-v1", "obs_contract=vector")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(PACKAGE, tmp_path_factory)


@pytest.fixture(scope="module")
def run(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train three iterations with the largest decay, and return the directory of the run."""
    folder = tmp_path_factory.mktemp("run")
    nano = [word for word in NANO if not word.startswith("env.")]
    words = (*WORDS, *nano, "algo.weight_decay=1", "env.max_steps=40", "algo.training_ratio=16",
             "run.train_iterations=3", "run.checkpoint_every=3", "evaluation.baselines=[]", "tracking=none",
             "hydra.run.dir=out")  # fmt: skip
    code, _, errors = python(folder, site, words=words, trains=True)
    assert code == 0, errors
    return folder / "out"


@pytest.mark.end_to_end
@pytest.mark.slow
def test_its_own_option_shapes_the_training(run: Path) -> None:
    weights = load_file(next((run / "checkpoints").glob("0*")) / "policy.safetensors")
    assert all((weights[name] == 0.0).all() for name in weights if ".rssm." in name)


@pytest.mark.end_to_end
@pytest.mark.slow
def test_its_own_metric_follows_those_of_every_algorithm_in_the_rows(run: Path) -> None:
    last = [json.loads(line) for line in (run / "result.jsonl").read_text().splitlines()][-1]
    assert last["weight_norm"] == 0.0
    assert last["loss/world_model"] > 0.0


@pytest.mark.end_to_end
@pytest.mark.slow
def test_its_checkpoint_names_it_and_is_evaluated(run: Path, site: Path) -> None:
    description = json.loads((next((run / "checkpoints").glob("0*")) / "policy.json").read_text())
    assert description["algorithm"] == "dreamerv3_decay"
    code, _, errors = python(run.parent, site, module="dreamer_exp.evaluate", words=("out",), trains=True)
    assert (code, errors) == (0, "")
    assert list((run / "report").glob("evaluation_gym_*.json"))


@pytest.mark.end_to_end
@pytest.mark.slow
def test_its_run_is_resumed(run: Path, site: Path) -> None:
    code, shown, errors = python(run.parent, site, words=("resume=out", "run.train_iterations=4"), trains=True)
    assert code == 0, errors
    assert "dreamerv3_decay on cpu (backend eager, precision float32), size nano" in shown
    assert sum(1 for _ in (run / "result.jsonl").open()) == 4


def test_dry_run_shows_its_plan(site: Path, tmp_path: Path) -> None:
    code, shown, errors = python(tmp_path, site, words=(*WORDS, "algo.replay_capacity=1 GiB", "dry_run=true"))
    assert (code, errors) == (0, "")
    assert "  weight_decay: 0.0001\n" in shown
    assert "dreamerv3_decay (backend eager, precision float32)" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            (*WORDS, "algo.weight_decay=2"),
            "algo.weight_decay=2.0 is out of range: it has to be at least 0 and at most 1.",
        ),
        (
            (*WORDS, "run.objective=loss/prediction"),
            "run.objective='loss/prediction' is not a metric of algo=dreamerv3_decay. "
            "Usual: success_rate, return_mean, loss/total.",
        ),
    ],
)
def test_a_wrong_value_is_one_line_with_exit_code_2(
    site: Path, tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    code, _, errors = python(tmp_path, site, words=words)
    assert (code, errors) == (2, f"dreamer_exp: {line}\n")


def test_its_metric_can_be_the_objective(site: Path, tmp_path: Path) -> None:
    code, _, errors = python(tmp_path, site, words=(*WORDS, "run.objective=weight_norm", "dry_run=true"))
    assert (code, errors) == (0, "")


def test_its_preset_is_composed(site: Path, tmp_path: Path) -> None:
    code, shown, errors = python(tmp_path, site, words=("experiment=cartpole_decay", "dry_run=true"))
    assert (code, errors) == (0, "")
    assert "  weight_decay: 0.001\n" in shown


def test_help_lists_it_with_its_summary(site: Path, tmp_path: Path) -> None:
    code, shown, _ = python(tmp_path, site, words=("--help",))
    assert code == 0
    assert "dreamerv3*, dreamerv3_decay, dreamerv3_rllib" in shown
    assert "algo=dreamerv3_decay           DreamerV3 whose weights decay after each update\n" in shown


def test_key_reference_lists_its_keys(site: Path, tmp_path: Path) -> None:
    code, shown, errors = python(tmp_path, site, module="dreamer_exp.config.key_reference")
    assert code == 0, errors
    assert "| `algo.weight_decay` |" in shown


def test_doctor_lists_it_and_why_another_one_is_unavailable(site: Path, tmp_path: Path) -> None:
    metadata = tmp_path / "broken" / "broken-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[dreamer_exp.algorithms]\nbroken = a_package_that_is_missing:SPEC\n")
    code, shown, _ = python(tmp_path, site, metadata.parent, module="dreamer_exp.doctor")
    assert code == 0
    assert "dreamerv3, dreamerv3_rllib, ppo, sac, dreamerv3_decay" in " ".join(shown.split())
    assert "algo=broken: the entry point dreamer_exp.algorithms: broken = a_package_that_is_missing:SPEC" in shown
