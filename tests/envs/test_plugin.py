"""An environment in a separate package: installed, listed, configured, trained and evaluated by the command line."""

import json
from pathlib import Path

import pytest

from dreamer_exp.evaluation.video.write import film_suffix
from tests.experiments import NANO
from tests.paths import CHECKOUT
from tests.plugins import install, python

PACKAGE = CHECKOUT / "tests" / "envs" / "plugin_package"
WORDS = ("env=line_world", "obs_contract=vector")
BROKEN = {
    "missing_import": "import a_package_that_is_not_installed",
    "wrong_object": "SPEC = 3",
    "untyped_options": (
        "from dataclasses import dataclass\n"
        "from dreamer_exp.config.schema import EnvConfig\n"
        "from dreamer_exp.envs.spec import EnvSpec\n"
        "@dataclass(frozen=True)\n"
        "class Options(EnvConfig):\n"
        "    name: str = 'untyped_options'\n"
        "    speed: float = 1.0\n"
        "SPEC = EnvSpec('untyped_options', Options, make=lambda config, render_mode: None)\n"
    ),
    "crowd_nav": "SPEC = None",
}  # name of the entry point -> source of its module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(PACKAGE, tmp_path_factory)


@pytest.fixture(scope="module")
def broken_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a distribution whose entry points cannot be used, and return its folder."""
    folder = tmp_path_factory.mktemp("broken_site")
    metadata = folder / "broken_worlds-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-worlds\nVersion: 0.1\n")
    points = [f"{name} = broken_{name}:SPEC" for name in BROKEN]
    (metadata / "entry_points.txt").write_text("\n".join(["[dreamer_exp.envs]", *points, ""]))
    for name, text in BROKEN.items():
        (folder / f"broken_{name}.py").write_text(text + "\n")
    return folder


@pytest.fixture(scope="module")
def run(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train an iteration, evaluate with the package's own baseline, and return the directory of the run."""
    folder = tmp_path_factory.mktemp("run")
    nano = [word for word in NANO if not word.startswith("env.")]
    words = (*WORDS, *nano, "env.goal_m=1.5", "env.max_steps=40", "run.train_iterations=1", "run.checkpoint_every=1",
             "evaluation.baselines=[random,full_speed,orca]", "tracking=none", "hydra.run.dir=out")  # fmt: skip
    code, _, errors = python(folder, site, words=words, trains=True)
    assert code == 0, errors
    return folder / "out"


@pytest.mark.end_to_end
def test_plugin_trains_and_is_evaluated_with_its_own_baselines(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "evaluation.jsonl").read_text().splitlines()]
    assert sum(1 for _ in (run / "result.jsonl").open()) == 1
    assert sorted(row["policy"] for row in rows) == ["dreamerv3", "dreamerv3", "full_speed", "random"]
    (full_speed,) = [row for row in rows if row["policy"] == "full_speed"]
    assert full_speed["success_rate"] == 1.0


@pytest.mark.end_to_end
def test_plugin_reports_outcome_lengths_and_time(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "evaluation.jsonl").read_text().splitlines()]
    (full_speed,) = [row for row in rows if row["policy"] == "full_speed"]
    assert full_speed["spl"] == pytest.approx(1.0, abs=0.1)
    for episode in full_speed["outcomes"]:
        assert episode["outcome"] == "success"
        assert 1.0 <= episode["route_length"] <= 2.0
        assert episode["time_s"] == pytest.approx(0.1 * episode["length"])


@pytest.mark.end_to_end
def test_plugin_is_recorded_with_its_version(run: Path) -> None:
    packages = json.loads((run / "provenance.json").read_text())["packages"]
    assert packages["line-world"] == "0.1.0"


@pytest.mark.slow
@pytest.mark.end_to_end
def test_plugin_has_its_paths_drawn_and_its_episodes_filmed(run: Path, site: Path) -> None:
    code, _, errors = python(run.parent, site, module="dreamer_exp.evaluate", words=("out", "video=1"), trains=True)
    assert code == 0, errors
    written = {path.suffix for path in (run / "report").glob("evaluation_line_world_*")}
    assert written == {".json", ".png", film_suffix()}


@pytest.mark.parametrize(
    ("word", "line"),
    [
        (
            "env.frictoin=0.2",
            "env.frictoin: there is no such key. Did you mean 'env.friction'? "
            "env has: name, max_steps, action_repeat, failure_floor, max_faults, goal_m, friction, reward.",
        ),
        ("env.friction=1.5", "env.friction=1.5 is out of range: it has to be at least 0 and at most 1."),
        ("env.goal_m=0", "env.goal_m=0.0 is out of range: it has to be more than 0 and at most 10."),
        ("env.reward.progress=much", "env.reward.progress='much' is of the wrong type: it takes a number."),
    ],
)
def test_wrong_option_of_a_plugin_is_one_line_with_exit_code_2(
    site: Path, tmp_path: Path, word: str, line: str
) -> None:
    assert python(tmp_path, site, words=(*WORDS, word)) == (2, "", f"dreamer_exp: {line}\n")


def test_option_file_of_a_plugin_is_composed(site: Path, tmp_path: Path) -> None:
    code, shown, errors = python(
        tmp_path, site, words=("env=line_world_ice", "obs_contract=vector", "env.friction=0.05", "dry_run=true")
    )
    assert (code, errors) == (0, "")
    assert "  goal_m: 4.0\n  friction: 0.05\n" in shown


def test_preset_of_a_plugin_is_composed(site: Path, tmp_path: Path) -> None:
    code, shown, errors = python(tmp_path, site, words=("experiment=line_world", "dry_run=true"))
    assert (code, errors) == (0, "")
    assert "vector: 2 floats" in shown
    assert "  lr_warmup: 100\n" in shown


def test_preset_of_a_plugin_can_be_trained_with_the_other_algorithm(site: Path, tmp_path: Path) -> None:
    words = ("experiment=line_world", "algo=dreamerv3_rllib", "dry_run=true")
    code, shown, errors = python(tmp_path, site, words=words)
    assert (code, errors) == (0, "")
    assert "  name: dreamerv3_rllib\n" in shown


def test_help_lists_the_options_of_a_plugin(site: Path, tmp_path: Path) -> None:
    code, shown, _ = python(tmp_path, site, words=("--help",))
    assert code == 0
    assert "gym, line_world, line_world_ice, robot_sf" in " ".join(shown.split())


def test_key_reference_lists_the_keys_of_a_plugin(site: Path, tmp_path: Path) -> None:
    code, shown, errors = python(tmp_path, site, module="dreamer_exp.config.key_reference")
    assert code == 0, errors
    assert "| `env.friction` | `0.1` | number, 0 to 1 | share of the speed that is lost in a step |" in shown


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing_import", "ModuleNotFoundError: No module named 'a_package_that_is_not_installed'"),
        ("wrong_object", "TypeError: it loads int with name None; both names have to be equal"),
        ("untyped_options", "TypeError: Options.name has to be made with dreamer_exp.config.schema.key"),
    ],
)
def test_broken_plugin_is_one_line_with_exit_code_2_when_selected(
    site: Path, broken_site: Path, tmp_path: Path, name: str, reason: str
) -> None:
    code, shown, errors = python(tmp_path, site, broken_site, words=(f"env={name}", "obs_contract=vector"))
    assert (code, shown) == (2, "")
    assert errors == (
        f"dreamer_exp: env={name}: the entry point dreamer_exp.envs: {name} = broken_{name}:SPEC of broken-worlds "
        f"cannot be loaded ({reason}).\n"
    )


@pytest.mark.parametrize("words", [(), WORDS])
def test_broken_plugins_do_not_affect_other_environments(
    site: Path, broken_site: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, shown, errors = python(tmp_path, site, broken_site, words=(*words, "dry_run=true"))
    assert (code, errors) == (0, "")
    assert f"  name: {'line_world' if words else 'crowd_nav'}\n" in shown


def test_doctor_lists_plugins_and_why_some_are_unavailable(site: Path, broken_site: Path, tmp_path: Path) -> None:
    code, shown, _ = python(tmp_path, site, broken_site, module="dreamer_exp.doctor")
    text = " ".join(shown.split())
    assert code == 0
    assert "env=line_world │ available" in text
    assert "env=missing_import │ unavailable, see below" in text
    assert "env=crowd_nav │ available" in text
    assert (
        "crowd_nav = broken_crowd_nav:SPEC of broken-worlds cannot be loaded (TypeError: this name is already taken)"
        in text
    )
