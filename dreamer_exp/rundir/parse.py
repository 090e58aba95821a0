"""Parsing of JSON and YAML that someone else may have written, with limits on depth and number of nodes.

Rows are parsed with orjson: those of a thousand runs are 3 GB, which takes the standard library 40 seconds.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

try:
    import orjson as json
except ImportError:  # on a robot, which has the packages of `load_policy` alone
    import json  # type: ignore[no-redef]

MAX_DEPTH = 50  # levels of lists and mappings
MAX_YAML_EVENTS = 20_000  # scalars, and beginnings and ends of collections; an experiment has some 500
MAX_ROW_KEYS = 1000
MAX_ENV_STEPS = 2**53  # larger numbers are not exact as floats


Record = TypeVar("Record")


class Unparsable(ValueError):
    """Content that is not read; the message completes `status.json: ...`."""


def leaves(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a tree by dotted key: {"algo": {"horizon_H": 15}} -> {"algo.horizon_H": 15}."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def parse_json(text: bytes | str) -> Any:
    """Return the value in a JSON text.

    Raises:
        Unparsable: It is not JSON, or deeper than MAX_DEPTH.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unparsable("cannot be read as JSON") from error
    _refuse_deep(tree)
    return tree


def parse_yaml(content: bytes, max_events: int = MAX_YAML_EVENTS) -> Any:
    """Return the value in a YAML document of plain values.

    The events are counted before anything is built: libyaml overflows the stack on deep documents, and a few aliases
    of aliases stand for a billion nodes.

    Raises:
        Unparsable: It is not YAML, has aliases, or exceeds MAX_DEPTH or `max_events`.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
    depth = 0
    try:
        for number, event in enumerate(yaml.parse(content, loader), 1):
            if isinstance(event, yaml.AliasEvent):
                raise Unparsable("has YAML aliases, which are not read")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH or number > max_events:
                raise Unparsable(f"has more than {MAX_DEPTH} levels or {max_events:,} nodes")
        return yaml.load(content, loader)
    except Unparsable:
        raise
    except (ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise Unparsable("cannot be read as YAML") from error


def parse_object(text: bytes | str) -> dict[str, Any] | None:
    """Return the JSON object in a text, or None."""
    try:
        tree = parse_json(text)
    except Unparsable:
        return None
    return tree if isinstance(tree, dict) else None


def build_record(kind: type[Record], tree: Mapping[str, Any]) -> Record:
    """Return a dataclass of plain values, lists and unions of these with the values of a file.

    Raises:
        Unparsable: A key is missing, unknown, or has a value of another type.
    """
    if not isinstance(tree, Mapping):
        raise Unparsable("is not a mapping")
    hints = get_type_hints(kind)
    for name, value in tree.items():
        if name in hints and not fits(value, hints[name]):
            raise Unparsable(f"{name} has a value of another type")
    try:
        return kind(**tree)
    except TypeError as error:  # keys of something else
        raise Unparsable(str(error)) from error


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value of a file is of a type: plain, list, dict, or a union of these."""
    if hint is Any:
        return True
    if get_origin(hint) is UnionType:
        return any(fits(value, each) for each in get_args(hint))
    if get_origin(hint) is dict:
        key, content = get_args(hint)
        return isinstance(value, dict) and all(fits(name, key) and fits(each, content) for name, each in value.items())
    if get_origin(hint) is list:
        return isinstance(value, list) and all(fits(each, get_args(hint)[0]) for each in value)
    return type(value) is hint or (hint is float and type(value) is int)


def parse_row(line: bytes) -> dict[str, Any] | None:
    """Return the row in a line: an object with a number of `env_steps`; None for any other content."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or len(row) > MAX_ROW_KEYS:
        return None
    steps = row.get("env_steps")
    if not isinstance(steps, (int, float)) or isinstance(steps, bool):
        return None
    return row if 0 <= steps <= MAX_ENV_STEPS else None


def _refuse_deep(tree: Any) -> None:
    level = [tree]
    for _ in range(MAX_DEPTH + 1):
        collections = [node for node in level if isinstance(node, (dict, list))]
        if not collections:
            return
        level = [child for node in collections for child in (node.values() if isinstance(node, dict) else node)]
    raise Unparsable(f"has more than {MAX_DEPTH} levels")
