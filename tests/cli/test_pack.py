"""The command that packs a policy: its words, and one line for each mistake."""

from pathlib import Path

import pytest

from dreamer_exp.cli.pack import PackRequest, read_words
from dreamer_exp.config.errors import UserError
from tests import programs


@pytest.fixture
def limits(tmp_path: Path) -> str:
    (tmp_path / "limits.txt").write_text("Drives nowhere.")
    return f"limits={tmp_path / 'limits.txt'}"


def test_words_are_read(limits: str) -> None:
    words = ["run", "small-2_b", limits, "report=a.json", "report=b.json", "acting_only=true"]
    assert read_words(words) == PackRequest(
        "run", "small-2_b", "Drives nowhere.", (Path("a.json"), Path("b.json")), True
    )


@pytest.mark.parametrize("name", ["/tmp/x", "..", ".", "a/b", "Small", "", "a\n"])
def test_a_name_that_could_lead_elsewhere_is_refused(limits: str, name: str) -> None:
    with pytest.raises(UserError, match="the name of a packed policy has a to z"):
        read_words(["run", name, limits])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["acting_only=True"], "acting_only=True: it takes true or false"),
        (["acting_onli=true"], "acting_onli=true: pack takes limits=.* Did you mean 'acting_only'"),
        (["report"], "report: pack takes"),
        (["limits=/no/such/file"], "limits=/no/such/file: it is given twice"),
    ],
)
def test_a_wrong_word_is_refused(limits: str, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_words(["run", "small", limits, *words])


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "limits= is missing"), (["limits=/no/such/file"], "limits=/no/such/file: it cannot be read")],
)
def test_limits_have_to_be_a_file(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_words(["run", "small", *words])


def test_a_mistake_ends_in_one_line_with_exit_code_2(tmp_path: Path, limits: str) -> None:
    done = programs.run(str(tmp_path / "no_run"), "small", limits, module="dreamer_exp.checkpoints.pack", trains=True)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("dreamer_exp: ")
    assert "no_run" in line
