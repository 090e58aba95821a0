"""Composition errors of Hydra and OmegaConf, converted to a UserError of one line."""

import difflib
import re
from dataclasses import Field, fields, is_dataclass
from typing import Any, get_args

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

from dreamer_exp.config.errors import UserError, first_line, nearest
from dreamer_exp.config.hints import option_hint
from dreamer_exp.config.option_files import fault_line
from dreamer_exp.config.plugins import SPECS, find_plugins
from dreamer_exp.config.schema_keys import declared_keys

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException)
RENAMED = {
    "algo.kernels": "this key is algo.backend now: auto, eager, cuda_graph (was graph) or fused.",
    "algo.learner": "the algorithm is an option now: algo=dreamerv3 (was fast) or algo=dreamerv3_rllib (was rllib).",
}  # key of release 0.1: what to write instead
PRESET = "experiment"  # the only group that is not a key of the schema
TAKES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    int | str: "a whole number or auto",
    int | float | str: "a number or auto",
    int | None: "a whole number or null",
    float | None: "a number or null",
    str | None: "text or null",
    int | str | None: "a whole number, memory or null",
    list[str]: "a list, [a,b]",
    list[int]: "a list of whole numbers, [256,256]",
    list[float]: "a list of numbers, [0.5,1.0]",
    dict[str, float]: "names with numbers, {a: 1.0}",
    dict[str, float | None]: "names with numbers, {a: 1.0}",
    dict[str, str]: "names with words, {a: b}",
    dict[str, Any]: "names with values, {a: 1}",
}


def takes(declared: Field[Any]) -> str:
    """Return what a key takes, in words; empty for a type without words."""
    if declared.metadata.get("memory"):
        return f"a whole number or memory, as 8 GiB{', or null' if declared.default is None else ''}"
    return TAKES.get(declared.type, "")


def user_error(error: Exception) -> UserError:
    """Convert an exception of Hydra or OmegaConf to a UserError."""
    for link in _chain(error):
        if line := _line_of_cause(link):
            return UserError(line)
    return UserError(_line_of_hydra(error))


def _line_of_cause(link: BaseException) -> str | None:
    """Return the line for an exception that names a key or option; None for others."""
    if isinstance(link, UserError):
        return str(link)
    if isinstance(link, yaml.MarkedYAMLError):
        return f"{link.problem_mark.name if link.problem_mark else 'a config file'}, {fault_line(link)}."
    if isinstance(link, MissingConfigException):
        return _unknown_option(link)
    if not isinstance(link, OmegaConfBaseException) or not link.full_key:
        return None
    if isinstance(link, (ConfigAttributeError, ConfigKeyError)):
        return unknown_key(str(link.full_key), link.object_type)
    part = None if isinstance(link, InterpolationResolutionError) else _wrong_part(str(link.full_key))
    return _wrong_type(link) or part or f"{link.full_key}: {_stem(link)}."


def _wrong_type(link: OmegaConfBaseException) -> str | None:
    """Return the line for a value of another type than the schema declares, or None."""
    if not isinstance(link, ValidationError):
        return None
    wanted = _wanted(link)
    value = "null" if link.value is None else repr(link.value)
    return f"{link.full_key}={value} is of the wrong type: it takes {wanted}." if wanted else None


def _wrong_part(full_key: str) -> str | None:
    """Return the line for a wrong element (`tracking.tags[0]`), name or kind of a list or mapping, or None."""
    for key, declared in declared_keys():
        if re.fullmatch(rf"{re.escape(key)}([.\[].*)?", full_key) and takes(declared):
            key_again = "it" if key == full_key else key
            return f"{full_key} is of the wrong type: {key_again} takes {takes(declared)}."
    return None


def _wanted(link: ValidationError) -> str:
    """Return what the schema takes at the place of the value, in words."""
    if not is_dataclass(link.object_type):  # a value in a mapping, as env.scenario_weights.open
        return TAKES.get(next(iter(get_args(link.ref_type)[1:]), None), "")
    declared = next((each for each in fields(link.object_type) if each.name == link.key), None)
    if declared is None:
        return ""
    if isinstance(declared.type, type) and is_dataclass(declared.type):
        return f"keys of its own: {', '.join(each.name for each in fields(declared.type))}"
    return takes(declared)


def _as_mapping(word: str) -> str | None:
    """Return `key={a/b: value}` for `key.a/b=value`, whose name with a slash Hydra does not parse, or None."""
    for key, declared in declared_keys():
        found = re.fullmatch(rf"({re.escape(key)})\.([^=]*/[^=]*)=(.*)", word)
        if found and takes(declared).startswith("names"):
            return f"{found[1]}={{{found[2]}: {found[3]}}}"
    return None


def _line_of_hydra(error: Exception) -> str:
    if isinstance(error, OverrideParseException):
        if spelling := _as_mapping(str(error.override)):
            return f"{error.override!r}: a name with / cannot be a part of a key; write {spelling!r}."
        hint = option_hint(str(error.override))
        return f"{error.override!r} cannot be read as KEY=VALUE; quote brackets and spaces for the shell.{hint}"
    if "Ambiguous value" in str(error):
        return f"{_stem(error)}: several values make a sweep, which takes -m."
    again = re.search(r"Multiple values for (\S+)\. To override a value use 'override \1: (\S+)'", str(error))
    if again is not None:
        return f"+{again[1]}={again[2]}: {again[1]} has its option already; write {again[1]}={again[2]}, without the +."
    quoted = re.search(r"Could not override '([^']*)'", str(error))
    if quoted is not None:
        return f"{quoted[1]}: there is no such group or key.{nearest(quoted[1], all_keys())} See --help."
    return _stem(error)


def _chain(error: BaseException) -> list[BaseException]:
    """Return the exception and its causes, innermost first."""
    links = [error]
    while (cause := links[0].__cause__ or links[0].__context__) is not None and cause not in links:
        links.insert(0, cause)
    return links


def _stem(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop."""
    return first_line(error).rstrip(".")


def unknown_key(full_key: str, object_type: Any) -> str:
    """Return the line for a key that the schema lacks.

    Args:
        full_key: The key in dotted form.
        object_type: The dataclass of the node in which the key was looked up; another type for a free mapping.
    """
    if full_key in RENAMED:
        return f"{full_key}: {RENAMED[full_key]}"
    head, _, leaf = full_key.rpartition(".")
    if not is_dataclass(object_type):  # a free mapping, as env.kwargs
        return f"{full_key}: {head} has no {leaf!r} yet; +{full_key}=... adds it."
    siblings = [declared.name for declared in fields(object_type)]
    if not head:
        siblings.append(PRESET)
    place = f"{head} has" if head else "There are"
    return f"{full_key}: there is no such key.{_nearest_key(head, leaf, siblings)} {place}: {', '.join(siblings)}."


def _nearest_key(head: str, leaf: str, siblings: list[str]) -> str:
    """Return a hint: the same name in another group (`horizon_H=15`), else the nearest here, else the nearest anywhere.

    Empty if none is similar.
    """
    elsewhere = {path.rpartition(".")[2]: path for path in all_keys()}
    refused = f"{head}.{leaf}"  # can be a key of another option of this group (env.scenario with env=gym)
    hint = nearest(leaf, siblings)
    if hint and leaf not in elsewhere:
        return hint.replace("'", f"'{head}.", 1) if head else hint
    words = difflib.get_close_matches(leaf, list(elsewhere), n=1, cutoff=0.7)
    return f" Did you mean {elsewhere[words[0]]!r}?" if words and elsewhere[words[0]] != refused else ""


def all_keys() -> list[str]:
    """Return every key of the schema in dotted form, with those of each environment and algorithm."""
    return list(dict.fromkeys(key for key, _ in declared_keys()))


def _unknown_option(error: MissingConfigException) -> str:
    wanted = error.missing_cfg_file or ""
    group, _, option = wanted.rpartition("/")
    options = [str(word) for word in error.options or []]
    if reason := _unavailable(group, option):
        return f"{group}={option}: {reason}"
    if not options:
        return _stem(error)
    hint = nearest(option, options) or option_hint(option)
    return f"{group}={option}: there is no such option.{hint} {group} has: {', '.join(options)}."


def _unavailable(group: str, option: str) -> str | None:
    """Return why the plug-in behind an option cannot be used, or None."""
    return find_plugins(SPECS[group]).unavailable.get(option) if group in SPECS else None
