"""Option files (`<folder>/<group>/<option>.yaml`): what is wrong with one that a command line names, by file and line.

Hydra names neither the file nor the line of some of these faults, and doesn't see others: an empty preset changes
nothing, and of a key that is given twice the last value counts.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dreamer_exp.config.errors import UserError

FLAGS = ("--config-dir", "-cd")
PRESET = "experiment"  # the group whose options change other groups, and therefore need PACKAGE
PACKAGE = "# @package _global_"


class Option(NamedTuple):
    """An option as a command line or a defaults list names it."""

    group: str
    name: str
    has_package: bool  # named with @PACKAGE, which replaces the one in the file


def extra_dirs(words: Sequence[str]) -> tuple[Path, ...]:
    """Return the folders that `--config-dir` adds to the config groups."""
    return split_dirs(words)[1]


def split_dirs(words: Sequence[str]) -> tuple[list[str], tuple[Path, ...]]:
    """Return the words without `--config-dir FOLDER` and `--config-dir=FOLDER`, and the folders."""
    others, folders = [], []
    remaining = iter(words)
    for word in remaining:
        flag, equals, folder = word.partition("=")
        if flag not in FLAGS:
            others.append(word)
        elif equals or (folder := next(remaining, "")):
            folders.append(Path(folder))
    return others, tuple(folders)


def check_option_files(words: Sequence[str], folders: Sequence[Path]) -> None:
    """Check the files of the options that a command line names, and those that their defaults lists name.

    Args:
        words: the command line.
        folders: the folders of config groups.

    Raises:
        UserError: naming the file, the line and the fault.
    """
    waiting, checked = [*_named(words)], set()
    while waiting:
        option = waiting.pop(0)
        for file in (folder / option.group / f"{option.name}.yaml" for folder in folders):
            if file not in checked and file.is_file():
                checked.add(file)
                waiting += _defaults(option.group, _read(file, option))


def fault_line(error: yaml.YAMLError, text: str = "") -> str:
    """Return the line and the problem of a YAML error as text: `line 3: ...`."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark, problem = error.problem_mark or error.context_mark, error.problem or error.context or "broken YAML"
        if "found character '\\t'" in problem:
            problem = "indented with a tab; YAML takes spaces"
        return f"line {mark.line + 1 if mark else 1}: {problem}"
    position = getattr(error, "position", 0)
    return f"line {text[:position].count(chr(10)) + 1}: {getattr(error, 'reason', error)}"


def _named(words: Sequence[str]) -> Iterator[Option]:
    for word in words:
        key, _, options = word.partition("=")
        group, at, _ = key.lstrip("+").partition("@")
        yield from (Option(group, option.strip(), bool(at)) for option in options.split(","))


def _defaults(group: str, tree: dict[str, Any]) -> Iterator[Option]:
    """Yield the options that a file's defaults list names, those of our schema and `_self_` included."""
    entries = tree.get("defaults")
    for entry in entries if isinstance(entries, list) else []:
        keys, options = ("", entry) if isinstance(entry, str) else next(iter(entry.items()), ("", None))
        path, at, _ = str(keys).removeprefix("optional ").removeprefix("override ").partition("@")
        base = path[1:] if path.startswith("/") else f"{group}/{path}".rstrip("/")
        for option in options if isinstance(options, list) else [options]:
            name = str(option).partition("@")[0]
            yield Option(*(("", name[1:]) if name.startswith("/") else (base, name)), bool(at))


def _read(file: Path, option: Option) -> dict[str, Any]:
    """Return the content of an option file; raise UserError if it cannot be what its author meant."""
    text = _text(file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{file}, {fault_line(error, text)}.") from error
    if root is None:
        raise UserError(f"{file} is empty: give it keys, or remove it.")
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{file}, line {root.start_mark.line + 1}: no KEY: VALUE, which an option file consists of.")
    _refuse_duplicates(file, root, set())
    if _needs_package(option, tree) and not _has_package(text):
        raise UserError(
            f"{file}, line 1: `{PACKAGE}` is missing, without which its keys stand under `{option.group}`; make it the "
            "first line."
        )
    return dict(tree)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise UserError(f"{file} is UTF-16, or no text: save it as UTF-8.")
    if data.startswith(b"\xef\xbb\xbf"):
        raise UserError(f"{file}, line 1: begins with a byte order mark (BOM): save it as UTF-8 without one.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{file}, line {line}: byte {data[error.start]:#x} is not UTF-8: save it as UTF-8.") from error


def _refuse_duplicates(file: Path, node: yaml.Node, seen: set[int]) -> None:
    """Raise UserError for a key that a mapping has twice; `seen` are ids of nodes, as aliases lead to the same ones."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, child in node.value:
            line = key.start_mark.line + 1
            if (name := str(key.value)) in lines and name != "<<":
                raise UserError(f"{file}, line {line}: the key {name!r} stands in line {lines[name]} already.")
            lines[name] = line
            _refuse_duplicates(file, child, seen)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_duplicates(file, child, seen)


def _needs_package(option: Option, tree: dict[str, Any]) -> bool:
    return not option.has_package and (option.group.split("/")[0] == PRESET or "hydra" in tree)


def _has_package(text: str) -> bool:
    """Return whether PACKAGE comes before everything else: a comment above it makes Hydra pass over it."""
    header = itertools.takewhile(lambda line: not line.strip() or re.match(r"\s*#\s*@", line), text.splitlines())
    return any(re.fullmatch(r"\s*#\s*@package\s+_global_\s*", line) for line in header)
