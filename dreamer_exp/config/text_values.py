"""Values of text keys on a command line, so that Hydra reads them as they are typed: `run.id=5e10` is text."""

import os
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from dreamer_exp.config.command_words import quoted
from dreamer_exp.config.schema_keys import declared_keys

TEXT = (str, str | None, list[str])
# what Hydra's grammar reads as a number or a boolean: 5, 1_000, 5e10, .5, nan, inf, true
NOT_TEXT = re.compile(r"[+-]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)(e[+-]?\d+)?|[+-]?(nan|inf)|true|false", re.IGNORECASE)

PART = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,]+""")  # a quoted text, or what is between commas
PATHS = ("resume", "sweep.resume")
SHORT = {"init_from": "run.init_from", "init_scope": "run.init_scope"}
POLICY = "run.init_from"


def as_typed(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, with quotes around values of text keys that look like numbers.

    `init_from` and `init_scope` become the keys that they stand for, and a path of `init_from` is quoted.
    """
    complete = map(_complete, words)
    return [_quoted(word, text_keys().get(word.partition("=")[0].lstrip("+"))) for word in complete]


def _complete(word: str) -> str:
    """Return the word with its complete key, and with quotes around the path of a policy."""
    key, sign, value = word.partition("=")
    name = key.lstrip("+")
    complete = SHORT.get(name, name)
    is_sweep = "," in value and not os.path.exists(value)
    is_path = complete == POLICY and value not in ("", "null") and value[:1] not in "'\"" and not is_sweep
    return f"{key[: len(key) - len(name)]}{complete}{sign}{quoted(value) if is_path else value}"


@cache
def text_keys() -> dict[str, Any]:
    """Return the type of every key whose value is text or a list of texts, by key."""
    return {key: declared.type for key, declared in declared_keys() if declared.type in TEXT}


def _quoted(word: str, takes: Any) -> str:
    """Quote each value of a text, or each element of a list; several values, separated by commas, are a sweep's."""
    key, _, value = word.partition("=")
    if key in PATHS:  # read before Hydra, as typed
        return word
    is_list = value[:1] == "[" and value[-1:] == "]"
    if takes is None or is_list != (takes == list[str]):
        return word
    opening, inner, closing = ("[", value[1:-1], "]") if is_list else ("", value, "")
    quoted = PART.sub(lambda part: f"'{part[0]}'" if NOT_TEXT.fullmatch(part[0].strip()) else part[0], inner)
    return f"{key}={opening}{quoted}{closing}"
