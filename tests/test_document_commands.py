"""The commands of README and docs/, run in order as a user would type them, in one folder for all pages.

A program starts with its imports done (tests/programs.py), and numbers of episodes and processes are small. A training
runs to its end, at nano size, where a page uses its run; the others stop at the plan (`dry_run=true`), after everything
that can refuse them. `<run>` and `<sweep>` are those of RUN and SWEEP.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from dreamer_exp.cli.main import COMMANDS
from tests import programs
from tests.documents import DOCUMENTS, MARK, SHELL, Block, blocks, name_of
from tests.experiments import NANO
from tests.paths import CHECKOUT

REASONS = (
    "installs packages",
    "needs Robot SF",
    "needs a GPU",
    "needs SLURM",
    "needs a Ray cluster",
    "needs W&B's server",
)
OTHER_LANGUAGES = ("", "text", "console", "python", "yaml", "toml", "mermaid")
PROMPT = "$ "
FILE = re.compile(r"`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = "python -m dreamer_exp run.id=smoke run.train_iterations=5 run.checkpoint_every=1 run.log_level=WARNING"
SWEEP = "python -m dreamer_exp -m algo.training_ratio=32,64 run.seed=1,2"
FEWER = (
    (r"\bepisodes=\d+", "episodes=2"),
    (r"\bworkers=\d+", "workers=2"),
    (r"\bvideo=\d+", "video=1"),
    (r"^dtype=.*", "dtype=float16"),
    (r"\brun\.seed=1,2$", "run.seed=1"),
)
OF_CROWD_NAV = tuple(word for word in NANO if word.startswith("env."))
SMALL = (*(word for word in NANO if word not in OF_CROWD_NAV), "run.train_iterations=2", "evaluation.baselines=[]")
TIMEOUT_S = 300


class Shell:
    """A user's shell in a folder, and what its earlier commands have made there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site = folder, folder / "site"
        self._done: set[str] = set()
        self._iterations = count(3)
        for name in ("examples", "tests/envs/plugin_package", "tests/algorithms/plugin_package"):
            shutil.copytree(CHECKOUT / name, folder / name)

    def run(self, line: str) -> None:
        """Run a line, without the comment at its end; raise AssertionError if it fails. A line runs once."""
        line = re.sub(r"\s+#.*", "", line)
        if line not in self._done:
            done = self.start(line)
            assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            self._done.add(line)

    def start(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line; what follows a pipe gets its output."""
        line, _, pipe = self.filled(line).partition(" | ")
        done = self._start(shlex.split(line))
        if pipe and done.returncode == 0:
            return subprocess.run(shlex.split(pipe), input=done.stdout, capture_output=True, text=True, check=False)
        return done

    def filled(self, line: str) -> str:
        """Return a line with the names of what exists instead of `<run>`, and with small numbers."""
        if "<run>/diagnostics" in line:
            return line.replace("outputs/<run>/diagnostics/nonfinite_<update>", str(self._diagnostics()))
        if "<run>" in line:
            self.run(RUN)
            (run,) = (self.folder / "outputs").glob("smoke_*")
            checkpoint = (run / "checkpoints" / "latest").read_text(encoding="utf-8").strip()
            line = line.replace("<run>", run.name).replace("<checkpoint>", checkpoint)
        if "<sweep>" in line:
            self.run(SWEEP)
            (sweep,) = (self.folder / "multirun").iterdir()
            line = line.replace("<sweep>", sweep.name)
        return line

    def _start(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        program, *rest = words
        if program == "dreamer-exp":
            return self._ours("dreamer_exp", rest)
        if words[:2] == ["python", "-m"]:
            return self._ours(rest[1], rest[2:])
        if program == "python":
            return self._process([sys.executable, *rest])
        assert words[:2] == ["pip", "install"], f"{program}: mark its block with a reason"
        to = ["--target", str(self.site), "--no-index", "--no-build-isolation", "--quiet"]
        return self._process([sys.executable, "-m", *words, *to])

    def _process(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    def _ours(self, module: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a module of the package; a training as short as the later lines allow."""
        is_training = module == "dreamer_exp" and not {"--help", *COMMANDS} & set(words)
        shorter = self._shorter(words) if is_training else ()
        for pattern, fewer in FEWER:
            words = [re.sub(pattern, fewer, word) for word in words]
        return programs.run(*words, *shorter, module=module, cwd=self.folder, env=self._environment(), trains=True)

    def _shorter(self, words: list[str]) -> tuple[str, ...]:
        """Return the words that shorten a training."""
        first = words[0] if words else ""
        if words == shlex.split(RUN)[3:]:
            return (*SMALL, *OF_CROWD_NAV)
        if words == shlex.split(SWEEP)[3:]:
            return (*SMALL, *OF_CROWD_NAV, "tracking=none")
        if any(word.startswith("hydra.run.dir=") for word in words):
            return (*SMALL, "tracking=none")
        if first.startswith(
            "resume="
        ):  # twice in the pages: with more iterations, and to the end of an interrupted run
            return (f"run.train_iterations={next(self._iterations)}", *(["dry_run=true"] if len(words) == 1 else []))
        if first.startswith("init_from="):
            return (*SMALL, "dry_run=true")  # a policy has the size of its run
        is_short = first.startswith("sweep.resume=") or "dry_run=true" in words  # the sweep's jobs have finished
        return () if is_short else ("dry_run=true",)

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(map(str, (self.site, CHECKOUT)))
        return {**programs.own_environment(), "PYTHONPATH": path, "COLUMNS": "120"}

    def _diagnostics(self) -> Path:
        """Return the diagnostics of a run that diverges, made here."""
        words = [
            "algo.world_model_lr=1e30",
            "run.train_iterations=40",
            "evaluation=none",
            "hydra.run.dir=outputs/diverged",
        ]
        done = programs.run(*SMALL, *OF_CROWD_NAV, *words, cwd=self.folder, env=self._environment(), trains=True)
        found = sorted(self.folder.glob("outputs/diverged/diagnostics/nonfinite_*"))
        assert found, done.stdout + done.stderr
        return found[0]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell that the pages share, in a folder with what a user has from the repository."""
    return Shell(tmp_path_factory.mktemp("user"))


def shell_blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page that are run."""
    yield from (block for block in blocks(page) if block.language in SHELL and block.reason is None)


WITH_COMMANDS = [page for page in DOCUMENTS if any(shell_blocks(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_each_command_of_a_page_runs(shell: Shell, page: Path) -> None:
    for name, text in FILE.findall(page.read_text(encoding="utf-8")):
        (shell.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (shell.folder / name).write_text(text, encoding="utf-8")

    for block in shell_blocks(page):
        for line in block.commands():
            shell.run(line)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in DOCUMENTS if any(each.language == "console" for each in blocks(page))], ids=name_of
)
def test_a_commands_output_is_that_of_the_page(shell: Shell, page: Path) -> None:
    for block in blocks(page):
        if block.language == "console":
            command, _, output = block.text.partition("\n")
            done = shell.start(command.removeprefix(PROMPT))
            assert re.fullmatch(re.escape(output).replace(r"\.\.\.", ".*"), done.stdout + done.stderr)


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_each_shell_block_is_run_or_marked_with_a_reason(page: Path) -> None:
    found = blocks(page)
    marked = [block for block in found if block.reason is not None]

    assert {block.language for block in found} <= {*SHELL, *OTHER_LANGUAGES}
    assert not any(
        re.search(r"^(\$|python|dreamer-exp) ", block.text, re.MULTILINE) for block in found if not block.language
    )
    assert [block for block in marked if block.language not in SHELL or block.reason not in REASONS] == []
    assert sum(line.startswith(MARK) for line in page.read_text(encoding="utf-8").splitlines()) == len(marked)


def test_the_run_and_the_sweep_of_the_tests_are_commands_of_a_page() -> None:
    lines = {
        re.sub(r"\s+#.*", "", line) for page in DOCUMENTS for block in shell_blocks(page) for line in block.commands()
    }

    assert {RUN, SWEEP} <= lines
