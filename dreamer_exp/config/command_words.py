"""Words of a command line that name paths: read as typed or quoted, and printed so that they can be pasted."""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

BARE = re.compile(r"(?!null$)[A-Za-z0-9_./-]+")  # a path that needs no quotes in Hydra's grammar


def is_dry_run(words: Sequence[str]) -> bool:
    """Return whether the last `dry_run=` of a command line is true, in any form that Hydra takes."""
    values = [word.partition("=")[2] for word in words if word.lstrip("+").startswith("dry_run=")]
    return bool(values) and values[-1].strip("'\"").lower() in ("true", "1", "yes", "on")


def quoted(path: Path | str) -> str:
    """Return a path in quotes, as Hydra's grammar takes it, whatever characters it has.

    Between quotes, backslashes are escapes only in front of a quote or at the end, and ${ begins a reference.
    """
    escaped = re.sub(r"(\\*)('|$)", _escape, str(path))
    return "'" + escaped.replace("${", "\\${") + "'"


def _escape(found: re.Match[str]) -> str:
    return 2 * found[1] + found[2].replace("'", "\\'")


def path_value(word: str) -> Path:
    """Return the path in a word KEY=PATH, as typed if there is such a path, else without Hydra's quotes."""
    text = word.partition("=")[2]
    quote = text[:1]
    if quote not in ("'", '"') or len(text) < 2 or text[-1] != quote or Path(text).exists():
        return Path(text)
    unescaped = re.sub(rf"(\\+)({quote}|$)", lambda found: found[1][: len(found[1]) // 2] + found[2], text[1:-1])
    return Path(unescaped.replace("\\${", "${"))


def path_word(key: str, path: Path | str) -> str:
    """Return the word KEY=PATH, in quotes where Hydra's grammar needs them."""
    return f"{key}={path}" if BARE.fullmatch(str(path)) else f"{key}={quoted(path)}"


def pasteable(*words: Path | str) -> str:
    """Return the command `python -m dreamer_exp WORD ...`, quoted for a shell, with the Python of this process."""
    return shlex.join([interpreter(), "-m", "dreamer_exp", *map(str, words)])


def interpreter() -> str:
    """Return `python` where a shell finds this process's Python by that name, else its path, short if it is below here.

    `make train` runs `.venv/bin/python`, which is not on the PATH of the shell.
    """
    own, found = Path(sys.executable), shutil.which("python")
    if found is not None and Path(found).absolute().parent == own.parent:
        return "python"
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)
