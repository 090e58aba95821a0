"""Words of a command line that name paths."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from dreamer_exp.config import compose
from dreamer_exp.config.command_words import interpreter, is_dry_run, pasteable, path_value, path_word, quoted

PATHS = [
    "outputs/run_20260101T000000Z_ab12",
    "0_training_ratio=32,seed=1",
    "with space",
    "it's",
    'two "quotes"',
    "both ' and \"",
    "Läufe/übung/実験",
    "back\\slash",
    "back\\'quote",
    "ends with\\",
    "${env.id}",
    "$HOME/`x`;(a)[b]{c}",
    "a,b=c:d@e#f",
    "null",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["resume", "sweep.resume"])
def test_hydra_reads_the_path_of_a_printed_word(path: str, key: str) -> None:
    compose.prepare()
    with hydra.initialize_config_dir(str(compose.config_dir()), version_base="1.3"):
        config = hydra.compose("config", [path_word(key, path)])
    assert OmegaConf.select(config, key) == path


@pytest.mark.parametrize("path", PATHS)
def test_the_program_reads_the_path_of_a_printed_word(path: str) -> None:
    assert path_value(path_word("resume", path)) == Path(path)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_read_as_typed_if_it_exists(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = f"'{path.replace('/', '_')}'"
    Path(typed).mkdir()
    assert path_value(f"resume={typed}") == Path(typed)


@pytest.mark.parametrize("path", PATHS)
def test_double_quotes_are_read_too(path: str) -> None:
    if '"' not in path and not path.endswith("\\"):
        assert path_value(f'resume="{path}"') == Path(path.replace("\\${", "${"))


@pytest.mark.parametrize("path", PATHS)
def test_a_printed_command_can_be_pasted_into_a_shell(path: str) -> None:
    command = pasteable("evaluate", Path(path), path_word("resume", path))
    words = ["evaluate", path, path_word("resume", path)]
    assert shlex.split(command)[3:] == words
    script = command.replace(f"{shlex.quote(interpreter())} -m", "printf '%s\\n'", 1)
    assert subprocess.check_output(["sh", "-c", script], text=True).splitlines() == ["dreamer_exp", *words]


def test_a_plain_path_is_printed_without_quotes() -> None:
    assert pasteable(path_word("resume", "/home/me/outputs/run_1")) == (
        f"{interpreter()} -m dreamer_exp resume=/home/me/outputs/run_1"
    )


def test_a_printed_command_uses_the_python_of_the_run_by_its_shortest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(own))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    assert interpreter() == str(own)
    monkeypatch.chdir(tmp_path)
    assert interpreter() == ".venv/bin/python"
    monkeypatch.setenv("PATH", str(own.parent))
    assert interpreter() == "python"


def test_a_quoted_path_is_in_single_quotes() -> None:
    assert quoted(os.sep) == "'/'"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dry_run=true"], True),
        (["dry_run=True"], True),
        (["++dry_run='yes'"], True),
        (["dry_run=true", "dry_run=false"], False),
        (["run.id=dry_run=true"], False),
        ([], False),
    ],
)
def test_a_dry_run_is_recognised_in_every_form_of_hydra(words: list[str], expected: bool) -> None:
    assert is_dry_run(words) is expected
