"""Broken option files: each is one line that names the file, the line and the fault."""

from pathlib import Path

import pytest

from dreamer_exp.config.compose import config_dirs
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.option_files import check_option_files, extra_dirs
from tests.config.composing import OPTIONS

HEAD = b"# @package _global_\n"


def line_for(folder: Path, content: bytes, word: str = "experiment=mine") -> str | None:
    """Return the message about an option file with this content, without the folder; None without a message."""
    group, _, option = word.lstrip("+").partition("=")
    file = folder / group.partition("@")[0] / f"{option}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    try:
        check_option_files([word], [folder])
    except UserError as error:
        return str(error).replace(f"{folder}/", "")
    return None


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (HEAD + b"algo:\n\thorizon_H: 5\n", ", line 3: indented with a tab; YAML takes spaces."),
        (HEAD + b"algo:\n  a: [1\n  b: 2\n", ", line 4: "),
        (HEAD + b"algo: {a: 1\n", ", line 3: "),
        (HEAD + b"run: !!python/object:os.system {}\n", ", line 2: "),
        (HEAD + b"run:\n  seed: 1\nrun:\n  id: a\n", ", line 4: the key 'run' stands in line 2 already."),
        (HEAD + b"run:\n  seed: 1\n  seed: 2\n", ", line 4: the key 'seed' stands in line 3 already."),
        (HEAD + b"- run\n", ", line 2: no KEY: VALUE, which an option file consists of."),
        (HEAD + b"just text\n", ", line 2: no KEY: VALUE, which an option file consists of."),
        (b"", " is empty: give it keys, or remove it."),
        (HEAD, " is empty: give it keys, or remove it."),
        (b"algo:\n  horizon_H: 5\n", ", line 1: `# @package _global_` is missing"),
        (b"# mine\n" + HEAD + b"algo:\n  horizon_H: 5\n", ", line 1: `# @package _global_` is missing"),
        (b"\xef\xbb\xbf" + HEAD + b"run:\n  seed: 1\n", ", line 1: begins with a byte order mark (BOM)"),
        ((HEAD + b"run:\n  seed: 1\n").decode().encode("utf-16"), " is UTF-16, or no text: save it as UTF-8."),
        ((HEAD + b"run:\n  seed: 1\n").decode().encode("utf-16-le"), " is UTF-16, or no text: save it as UTF-8."),
        (HEAD + b"run:\n  id: caf\xe9\n", ", line 3: byte 0xe9 is not UTF-8: save it as UTF-8."),
        (HEAD + b"run:\n  id: a\x07b\n", ", line 3: special characters are not allowed."),
    ],
)
def test_a_broken_preset_is_named_with_its_line(tmp_path: Path, content: bytes, line: str) -> None:
    assert (line_for(tmp_path, content) or "").startswith(f"experiment/mine.yaml{line}")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (HEAD + b"algo:\n  horizon_H: 5\n", "experiment=mine"),
        (b"\r\n# @package _global_\r\nalgo:\r\n  horizon_H: 5\r\n", "experiment=mine"),
        (b"algo:\n  horizon_H: 5\n", "experiment@_global_=mine"),
        (b"horizon_H: 5\n", "algo=mine"),
        (HEAD + b"env: &a {max_steps: 5}\nalgo: *a\n", "experiment=mine"),
    ],
    ids=["preset", "preset of another system", "package on the command line", "option of a group", "alias"],
)
def test_a_valid_file_is_accepted(tmp_path: Path, content: bytes, word: str) -> None:
    assert line_for(tmp_path, content, word) is None


def test_a_named_sweep_needs_its_package_too(tmp_path: Path) -> None:
    line = line_for(tmp_path, b"hydra:\n  sweeper:\n    params:\n      run.seed: 1,2\n", "sweep=mine")

    assert line is not None
    assert line.startswith("sweep/mine.yaml, line 1: `# @package _global_` is missing")


@pytest.mark.parametrize("entry", ["broken", "/algo: broken", "override /algo: broken", "optional /algo@x: [broken]"])
def test_a_broken_file_in_a_defaults_list_is_found(tmp_path: Path, entry: str) -> None:
    for group in ("algo", "experiment"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "broken.yaml").write_bytes(HEAD + b"a: 1\na: 2\n")

    line = line_for(tmp_path, HEAD + f"defaults:\n  - {entry}\n  - _self_\n".encode())

    assert line is not None
    assert line.endswith("/broken.yaml, line 3: the key 'a' stands in line 2 already.")


def test_a_broken_file_that_nothing_names_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "draft.yaml").write_bytes(b"")

    assert line_for(tmp_path, HEAD + b"run:\n  seed: 1\n") is None


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_our_own_files_are_valid(group: str, option: str) -> None:
    check_option_files([f"{group}={option}"], config_dirs())


@pytest.mark.parametrize("words", [["--config-dir", "a", "run.seed=1"], ["--config-dir=a"], ["-cd", "a"], ["-cd=a"]])
def test_each_spelling_of_the_flag_names_the_folder(words: list[str]) -> None:
    assert extra_dirs(words) == (Path("a"),)
