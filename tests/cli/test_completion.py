"""Shell completion, as bash asks for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dreamer_exp.cli.completion import command_in, is_query, suggestions
from dreamer_exp.cli.main import COMMANDS
from tests.paths import CHECKOUT

ASK = """
eval "$(dreamer-exp -sc install=bash)"
COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
hydra_bash_completion
echo "${COMPREPLY[*]}"
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the console script dreamer-exp of this checkout."""
    script = tmp_path_factory.mktemp("programs") / "dreamer-exp"
    script.write_text(f"#!{sys.executable}\nfrom dreamer_exp.cli.main import main\nmain()\n")
    script.chmod(0o755)
    return script.parent


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("dreamer-exp experiment=qu", "experiment=quickstart"),
        ("dreamer-exp algo=dreamerv3_rllib algo.actor_g", "algo.actor_grad_clip_by_global_norm="),
        ("dreamer-exp doc", "doctor"),
        ("dreamer-exp algo.precision=b", "algo.precision=bfloat16"),
        ("dreamer-exp evaluate out", ""),
    ],
)
def test_bash_completes_the_last_word(programs: Path, tmp_path: Path, line: str, completed: str) -> None:
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        ["bash", "-c", ASK, "ask", line],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == (completed, "")


def test_the_first_word_may_be_a_command() -> None:
    assert suggestions("dreamer-exp r", COMMANDS) == ["runs", "report", "replay-update"]
    assert suggestions("dreamer-exp run.seed=1 r", COMMANDS) == []


def test_the_allowed_words_of_all_algorithms_are_suggested() -> None:
    found = suggestions("dreamer-exp algo.model_size=n", COMMANDS)
    assert found == ["algo.model_size=nano"]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("dreamer-exp evaluate out", "evaluate"),
        ("dreamer-exp evaluate ", "evaluate"),
        ("dreamer-exp evaluate", None),
        ("dreamer-exp run.seed=1", None),
        ("dreamer-exp", None),
    ],
)
def test_the_words_of_a_command_are_not_settings(line: str, command: str | None) -> None:
    assert command_in(line, COMMANDS) == command


def test_only_the_shells_question_is_a_query() -> None:
    assert is_query(["-sc", "query=bash"])
    assert not is_query(["-sc", "install=bash"])
    assert not is_query(["run.seed=1"])
