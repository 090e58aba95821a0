"""The words that the project avoids: each has a plain one, and none is left in code, configs, tests or documents."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import CHECKOUT

# pattern (matched as complete words, in any case): what to write instead
WORDS = {
    r"told|tells": "reports, prints, logs, records, returns",
    r"rungs?": "backend (eager, cuda_graph, fused)",
    r"Fast[A-Z]\w*": "the published learner is dreamerv3, the stock one dreamerv3_rllib",
    r"(takes?|took|taken|taking) up(?! to)": "resume, load_state",
    r"(goes|go|going|went) on with": "resume, continue with",
    r"anew": "again, newly",
    r"beside": "next to, besides",
    r"mend(s|ed|ing)?": "fix, correct",
    r"for ever|(?<!serve_)forever": "indefinitely",
    r"at work": "running",
    r"by half": "partially written",
    r"judg(e|es|ed|ing|ement|ements)": "evaluate, evaluation report",
    r"examin(e|es|ed|ing|er)": "evaluate, evaluation",
    r"way back": "backward",
    r"lanes?": "streams",
    r"crowding": "CPU contention",
    r"(?<!concurrent\.)(?<!Future\.)futures": "ground-truth rollouts",
    r"(?<!there )(is|are|was) (?-i:none)": "is missing, is not a number, null",
    r"is no number": "is not a number",
}
# file: patterns that mean something else there
EXCEPTIONS: dict[str, set[str]] = {
    "tests/test_language.py": set(WORDS),  # lists them
    "conf/protocol/robot_sf_dev.yaml": {"crowding"},  # a scenario's name
    "conf/protocol/robot_sf_s30_h600.yaml": {"crowding"},
}
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
