"""The words that the project avoids: each has a plain one, and none is left in code, configs, tests or documents."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import CHECKOUT

# pattern (matched as complete words, in any case): what to write instead
WORDS = {
    r"told|tells|says|said": "reports, prints, logs, records, returns",
    r"rungs?": "backend (eager, cuda_graph, fused)",
    r"Fast[A-Z]\w*": "the published learner is dreamerv3, the stock one dreamerv3_rllib",
    r"fast[ _](learner|network|model|update)(?!\")": "the published learner is dreamerv3",
    r"(takes?|took|taken|taking) up(?! to)|reload(s|ed|ing)?": "resume, load_state",
    r"(goes|go|going|went) on with": "resume, continue with",
    r"anew": "again, newly",
    r"beside": "next to, besides",
    r"mend(s|ed|ing)?": "fix, correct",
    r"for ever|(?<!serve_)forever": "indefinitely",
    r"at work": "running",
    r"by half": "partially written",
    r"gone": "missing, removed, no longer exists",
    r"whole(?![ _]numbers?)": "complete",
    r"judg(e|es|ed|ing|ement|ements)": "evaluate, evaluation report",
    r"examin(e|es|ed|ing|er)": "evaluate, evaluation",
    r"way back|the filter|filters? the": "of the RSSM: observe, posterior scan, forward, backward",
    r"lanes?": "streams",
    r"crowding": "CPU contention",
    r"crowds? of CPUs|crowded CPUs": "CPU contention",
    r"compare[./](answer|question)": "pipeline, request",
    r"(?<!concurrent\.)(?<!Future\.)futures": "ground-truth rollouts",
    r"(def |\.)look\(": "check(), update()",
    r"(?-i:class (Kept|Found|Asked|Listed))": "a noun: ResumePoint, RunSearch",
    r"traps? (\d|of)|(two|three|these) traps|the runbook|original launcher": "describe it, or link a page in docs/",
    r"(?<!there )(is|are|was) (?-i:none)": "is missing, is not a number, null",
    r"is no number": "is not a number",
}
# file: patterns that mean something else there
EXCEPTIONS: dict[str, set[str]] = {
    "tests/test_language.py": set(WORDS),  # lists them
    "conf/protocol/robot_sf_dev.yaml": {"crowding"},  # a scenario's name
    "conf/protocol/robot_sf_s30_h600.yaml": {"crowding"},
    "conf/protocol/robot_sf_smoke.yaml": {"crowding"},
    "benchmarks/results/competence/robot_sf_classic_only.md": {"crowding"},
    "benchmarks/results/competence/robot_sf_crowd_nav.md": {"crowding"},
    "benchmarks/results/competence/robot_sf_s30_h600.md": {"crowding"},
    "benchmarks/results/competence/robot_sf_smoke.md": {"crowding"},
}
# rungs of successive halving (ASHA), as its authors call them
RUNGS = ("dreamer_exp/config/schema.py", "dreamer_exp/sweeps/losers.py", "conf/sweep/none.yaml",
         "docs/tutorials/sweeps.md", "docs/reference/keys.md", "tests/sweeps/test_losers.py")  # fmt: skip
EXCEPTIONS |= {file: {"rungs?"} for file in RUNGS}
FOLDERS = ("dreamer_exp", "hydra_plugins", "conf", "benchmarks", "tests", "docs")
SUFFIXES = (".py", ".md", ".yaml", ".html", ".j2", ".js", ".css")


def documents() -> Iterator[Path]:
    yield from CHECKOUT.glob("*.md")
    for folder in FOLDERS:
        yield from (path for path in (CHECKOUT / folder).rglob("*") if path.suffix in SUFFIXES)


@pytest.mark.parametrize("pattern", WORDS)
def test_avoided_words_are_absent(pattern: str) -> None:
    word = re.compile(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", re.IGNORECASE if not re.match("Fast", pattern) else 0)
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}: {line.strip()}"
        for path in documents()
        if pattern not in EXCEPTIONS.get(path.relative_to(CHECKOUT).as_posix(), set())
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if word.search(line)
    ]
    assert found == [], f"write instead: {WORDS[pattern]}"
