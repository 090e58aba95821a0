"""README and docs/: their length, links and commands, and the site that `make docs` builds."""

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.cli import benchmark, compare, evaluate, export
from dreamer_exp.cli.main import COMMANDS, TRAIN
from dreamer_exp.config import load, multirun
from dreamer_exp.config.plugins import find_specs
from dreamer_exp.config.text_values import as_typed
from dreamer_exp.rundir.metric_names import ROW
from tests.documents import DOCUMENTS, README, SHELL, blocks, name_of
from tests.experiments import experiment, machine
from tests.paths import CHECKOUT

MAX_LINES = 130
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ON_GITHUB = "../../actions/"  # of the repository's page, relative to the README there
CLUSTER = machine(cpus=64, gpus=1, memory_bytes=2**40)
OF_PLUGINS = ("line_world", "decay")  # the packages under tests/ that docs/ quotes; their own tests run these commands


def links(text: str) -> Iterator[str]:
    """Yield the targets of the links and images outside of code."""
    yield from LINK.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", text)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command of this project in the page's shell blocks, without comments."""
    for block in blocks(page):
        for line in block.commands() if block.language in SHELL else ():
            match = re.search(r"(?:^|&& )((python|dreamer-exp|make|pip|mkdocs) .*|\.venv/bin/python .*)", line)
            if match and not any(name in line for name in OF_PLUGINS):
                words = shlex.split(match[1], comments=True)
                if "-m" not in words[3:] or block.reason:  # test_document_commands.py composes the sweeps that it runs
                    yield words[: words.index("&")] if "&" in words else words


def check_command(words: Sequence[str]) -> None:
    """Read a command as the program does, up to the point where it needs a run's files; raise where it refuses."""
    program, *rest = words
    if program == "make":
        makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in rest)
    elif program == "pip":
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = [name for word in rest for found in re.findall(r"\[(.*)\]", word) for name in found.split(",")]
        assert set(extras) <= set(project["optional-dependencies"])
    elif program == "dreamer-exp":
        check_ours(rest)
    elif rest[0] != "-m":
        assert (CHECKOUT / rest[0]).exists()
    elif (module := rest[1].removeprefix("dreamer_exp").lstrip(".").replace("_", "-")) in COMMANDS or not module:
        check_ours([module, *rest[2:]] if module else rest[2:])
    else:
        importlib.import_module(rest[1])


def check_ours(words: Sequence[str]) -> None:
    """Read a command of `dreamer-exp`."""
    name, rest = (words[0], list(words[1:])) if words and words[0] in COMMANDS else ("train", list(words))
    if name == "train":
        check_train(rest)
    elif name == "evaluate":
        experiment(*evaluate.read_words(rest).overrides, on=CLUSTER)
    elif name == "compare":
        compare.parser().parse_args(rest)
    elif name == "benchmark":
        benchmark.read_words(rest)
    elif name == "export":
        export.read_words(rest)


def check_train(words: list[str]) -> None:
    """Compose and load the experiment, or compose the sweep."""
    if {"--help", "--config-dir"} & set(words):
        return
    words = as_typed([word for word in words if not word.startswith(("resume=", "sweep.resume="))])
    words = [re.sub(r"<(\w+)>", r"\1", word) for word in words if not word.startswith("$")]
    if not multirun.is_sweep(words):
        experiment(*words, on=CLUSTER)
    else:
        check_sweep(tuple(word for word in words if word != "dry_run=true"))


@cache
def check_sweep(words: tuple[str, ...]) -> None:
    """Compose every job of a sweep, and load the first."""
    sweep = multirun.parse(words)
    load.load_experiment([*sweep.jobs, *sweep.samples][0][1], CLUSTER)


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_each_internal_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"https?:|mailto:", link) or link.startswith(ON_GITHUB):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def with_commands() -> Iterator[Any]:
    """Yield the pages with commands; those with sweeps take seconds each."""
    for page in DOCUMENTS:
        if found := list(commands(page)):
            sweeps = sum("-m" in words[3:] for words in found)
            yield pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if sweeps > 1 else [])


@pytest.mark.parametrize("page", list(with_commands()))
def test_each_command_of_a_page_is_accepted(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands(page):
        check_command(words)


def test_each_metric_of_a_row_is_defined() -> None:
    page = (CHECKOUT / "docs" / "reference" / "rows.md").read_text(encoding="utf-8")

    specs = find_specs("algorithms").values()
    names = dict.fromkeys((*ROW, *(name for spec in specs for name in spec.metrics)))

    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != TRAIN])
def test_each_command_is_described_as_by_its_help(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    module = importlib.import_module(COMMANDS[name])
    usage = module.parser().format_help() if name == "compare" else module.USAGE
    page = CHECKOUT / "docs" / "reference" / "commands.md"

    assert f"```text\n{usage.strip()}\n```" in page.read_text(encoding="utf-8")


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.slow
def test_readmes_example_drives_a_policy(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert "outputs/<run>" in example
    example = example.replace("outputs/<run>", "pretrained:robot_sf")

    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120
    )

    assert re.fullmatch(r"(success|timeout) [0-9.]+\n", done.stdout), done.stderr


@pytest.mark.slow
def test_site_builds_without_warnings_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]

    done = subprocess.run(words, cwd=CHECKOUT, check=False, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")]
    loads = r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>"
    assert len(pages) > 30
    assert [found for page in pages for found in re.findall(loads, page) if 'rel="canonical"' not in found] == []
    assert not any('class="mermaid"' in page for page in pages)  # the theme would load mermaid from another host
