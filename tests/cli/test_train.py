"""The program as a user starts it: real processes in a directory outside of the checkout."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from dreamer_exp.algorithms.dreamerv3.config import ON_GPU
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.algorithms.dreamerv3_rllib.sizes import SIZES as RLLIB_SIZES
from dreamer_exp.cli.main import COMMANDS
from dreamer_exp.cli.train import announce
from dreamer_exp.config.compose import config_dir
from dreamer_exp.config.help_text import groups
from tests import programs
from tests.experiments import nano
from tests.paths import CHECKOUT

IMPORTED = "import time:"  # the beginning of the lines of -X importtime


class Finished:
    """A finished process and the directory it ran in."""

    def __init__(
        self, directory: Path, python: tuple[str, ...], words: tuple[str, ...], environ: dict[str, str]
    ) -> None:
        self.directory = directory
        environment = {**_environ(), **environ}
        if python or environ:  # HYDRA_FULL_ERROR is read at an import
            done = subprocess.run(
                [sys.executable, *python, "-m", "dreamer_exp", *words],
                cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
        else:
            done = programs.run(*words, cwd=directory, env=environment)
        self.code, self.out = done.returncode, done.stdout
        self.imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if IMPORTED in line]
        self.messages = [line for line in done.stderr.splitlines() if IMPORTED not in line]

    def left(self) -> list[str]:
        """Return the files and folders in its directory."""
        return sorted(path.relative_to(self.directory).as_posix() for path in self.directory.rglob("*"))


def _environ() -> dict[str, str]:
    """Return this process's environment without a developer's settings, with this checkout on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HYDRA_", "SLURM_", "PYTHON"))}
    return {**kept, "PYTHONPATH": str(CHECKOUT), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "120"}


def start(directory: Path, *words: str, python: tuple[str, ...] = (), **environ: str) -> Finished:
    return Finished(directory, python, words, environ)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return the dry run of the default experiment, with its imports."""
    return start(tmp_path_factory.mktemp("dry"), "dry_run=true", python=("-X", "importtime"))


@pytest.fixture(scope="module")
def help_page(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return start(tmp_path_factory.mktemp("help"), "--help")


# Mistakes


def test_a_misspelt_key_exits_with_code_2_one_line_and_no_files(tmp_path: Path) -> None:
    done = start(tmp_path, "algo.horzon_H=15")

    assert (done.code, done.out, done.left()) == (2, "", [])
    (line,) = done.messages
    assert line.startswith("dreamer_exp: algo.horzon_H: there is no such key. Did you mean 'algo.horizon_H'?")


def test_hydra_full_error_prints_the_traceback_before_the_line(tmp_path: Path) -> None:
    done = start(tmp_path, "algo.horzon_H=15", HYDRA_FULL_ERROR="1")

    assert done.code == 2
    assert any(line.startswith("Traceback") for line in done.messages)
    assert done.messages[-1].startswith("dreamer_exp: algo.horzon_H: there is no such key.")


def test_a_value_refused_after_composition_leaves_no_directory(tmp_path: Path) -> None:
    done = start(tmp_path, "hardware=cuda")

    assert (done.code, len(done.messages)) == (2, 1)
    assert [name for name in done.left() if name != "outputs"] == []


# The first line


def begun(directory: Path, *words: str) -> subprocess.Popen[str]:
    """Start a run with a small network, and return its process."""
    nano = ("algo.model_size=nano", "hardware=cpu", "hardware.num_env_runners=0", "tracking=none")
    return subprocess.Popen(
        [sys.executable, "-m", "dreamer_exp", *nano, *words],
        cwd=directory, env=_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow)],
)
def test_a_signal_while_ray_and_torch_are_imported_is_quiet_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = begun(tmp_path, "run.id=mine")
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(0.2)  # the line is out, and the imports have begun
    process.send_signal(number)

    try:
        assert re.fullmatch(r"mine_\w+: importing ray and torch\n", first)
        assert process.communicate(timeout=120) == ("", "")
    finally:
        process.kill()
    assert process.returncode == code
    assert list(tmp_path.iterdir()) == []


def test_a_quiet_run_has_no_first_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(nano("run.log_level=WARNING"), tmp_path)

    assert capsys.readouterr().out == ""


# Dry run


def test_a_dry_run_into_the_directory_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "status.json").write_text("{}")
    done = start(tmp_path, "hydra.run.dir=mine", "dry_run=true")

    (line,) = done.messages
    assert (done.code, done.out) == (2, "")
    assert "already holds a run" in line


def test_a_dry_run_exits_with_code_0_and_prints_no_error(dry: Finished) -> None:
    assert (dry.code, dry.messages) == (0, [])


@pytest.mark.parametrize(("key", "cut"), [("drive_state", "[0:15]"), ("rays", "[15:831]")])
def test_a_dry_run_shows_the_slice_of_each_observation(dry: Finished, key: str, cut: str) -> None:
    assert any(key in line and cut in line for line in dry.out.splitlines())


@pytest.mark.parametrize("word", ["831 floats", "bytes a step", "learner", "env steps", "updates", "replay"])
def test_a_dry_run_shows_resources_memory_and_planned_work(dry: Finished, word: str) -> None:
    assert word in dry.out


def test_a_dry_run_prints_the_complete_resolved_experiment(dry: Finished) -> None:
    experiment = yaml.safe_load(dry.out[: dry.out.index("\n\n")])

    assert set(experiment) == {"run", "env", "obs_contract", "algo", "hardware", "tracking", "evaluation"}
    assert isinstance(experiment["hardware"]["num_env_runners"], int)


def test_a_dry_run_on_a_gpu_resolves_auto_without_importing_torch(tmp_path: Path) -> None:
    # no nvidia-smi on the PATH: the variable names the GPU, and its memory is unknown
    words = ("dry_run=true", "hardware=cuda")
    done = start(tmp_path, *words, python=("-X", "importtime"), CUDA_VISIBLE_DEVICES="0", PATH="")
    experiment = yaml.safe_load(done.out[: done.out.index("\n\n")])

    assert (done.code, done.messages) == (0, [])
    assert [experiment["algo"][name] for name in ON_GPU] == [ON_GPU["backend"], ON_GPU["precision"], "cpu"]
    assert not {"torch", "ray"} & set(done.imported)


@pytest.mark.parametrize("package", ["ray", "torch", "wandb", "matplotlib"])
def test_a_dry_run_does_not_import_packages_for_training(dry: Finished, package: str) -> None:
    assert "dreamer_exp.config.schema" in dry.imported
    assert [name for name in dry.imported if name.split(".")[0] == package] == []


def test_a_dry_run_leaves_nothing_under_outputs(dry: Finished) -> None:
    assert [name for name in dry.left() if name != "outputs"] == []


def test_the_dry_run_of_a_sweep_shows_each_job(tmp_path: Path) -> None:
    done = start(tmp_path, "-m", "algo.training_ratio=32,64", "dry_run=true")

    assert done.code == 0
    assert [f"training_ratio={ratio} " in done.out for ratio in (32, 64)] == [True, True]


# Help and configs


@pytest.mark.parametrize("group", groups())
def test_help_names_every_group_and_its_options(help_page: Finished, group: str) -> None:
    (line,) = [line for line in help_page.out.splitlines() if line.strip().startswith(f"{group} ")]
    after = help_page.out[help_page.out.index(line) + 4 + len(group) :]
    complete = re.split(r"\n    \w|\n\n", after)[0]  # up to the next group
    listed = [word.strip().rstrip("*") for word in complete.split(",")]

    assert listed == sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


@pytest.mark.parametrize("option", ["crowd_nav*", "drive_state_rays*", "dreamerv3*", "auto*", "wandb_offline*"])
def test_help_marks_the_default_options(help_page: Finished, option: str) -> None:
    assert option in help_page.out


@pytest.mark.parametrize(
    "line",
    ["algo=dreamerv3_rllib", f"dreamerv3: {' '.join(SIZES)}", f"dreamerv3_rllib: {' '.join(RLLIB_SIZES)}"],
)
def test_help_names_both_algorithms_and_their_sizes(help_page: Finished, line: str) -> None:
    assert line in help_page.out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "train"])
def test_help_names_every_command(help_page: Finished, command: str) -> None:
    assert f"    dreamer-exp {command} " in help_page.out


def test_help_fits_100_columns(help_page: Finished) -> None:
    assert max(map(len, help_page.out.splitlines())) <= 100


def test_help_leaves_no_files(help_page: Finished) -> None:
    assert (help_page.code, help_page.messages, help_page.left()) == (0, [], [])
    assert "Usual overrides:" in help_page.out


def test_cfg_job_prints_the_composed_config_as_yaml(tmp_path: Path) -> None:
    done = start(tmp_path, "algo.horizon_H=15", "--cfg", "job")

    assert (done.code, done.left()) == (0, [])
    config = yaml.safe_load(done.out)
    assert (config["algo"]["horizon_H"], config["hardware"]["num_env_runners"]) == (15, "auto")


def test_config_dir_adds_a_folder_of_configs(tmp_path: Path) -> None:
    (tmp_path / "mine" / "hardware").mkdir(parents=True)
    (tmp_path / "mine" / "hardware" / "lab.yaml").write_text("defaults: [cpu, _self_]\nname: lab\nnum_cpus: 7\n")

    done = start(tmp_path, "--config-dir", "mine", "hardware=lab", "--cfg", "job")

    assert done.code == 0
    assert yaml.safe_load(done.out)["hardware"]["num_cpus"] == 7


@pytest.mark.parametrize("words", [("env.scenario=opne",), ("env.scenario_weights.open=-1",), ("run.objective=foo",)])
def test_dry_run_refuses_what_a_run_would_refuse_later(tmp_path: Path, words: tuple[str]) -> None:
    done = start(tmp_path, "dry_run=true", *words)
    assert done.code == 2
    assert words[0].split("=")[0] in done.messages[0]


@pytest.mark.parametrize("words", [("algo=3",), ("env=null",), ("=3",)])
def test_untyped_composition_errors_exit_with_code_2(tmp_path: Path, words: tuple[str]) -> None:
    done = start(tmp_path, "dry_run=true", *words)
    assert done.code == 2
    assert len(done.messages) == 1
