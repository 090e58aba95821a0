"""The exception for a user's mistake, its hint, and the one-line form of any exception."""

import difflib
from collections.abc import Sequence

SYNONYMS = {"tiny": "nano", "gpu": "cuda"}  # what other programs call it: our word


class UserError(Exception):
    """A mistake that the user can fix: printed without a traceback; the process exits with code 2.

    The message names the key, the value, what is allowed and what to do.
    """


class Interrupt(KeyboardInterrupt):
    """An interruption by this package. A KeyboardInterrupt of another class may be an environment's own."""


def nearest(word: str, candidates: Sequence[str]) -> str:
    """Return ` Did you mean 'x'?` for the most similar candidate, or an empty text if none is similar."""
    found = nearest_word(word, candidates)
    return f" Did you mean {found!r}?" if found else ""


def nearest_word(word: str, candidates: Sequence[str], cutoff: float = 0.6) -> str | None:
    """Return the most similar candidate, or None.

    A misspelling comes first, then a candidate that begins with the word or the other way round (`env` for
    `enviroment`), then the most similar one above the cutoff.
    """
    folded, asked = {candidate.casefold(): candidate for candidate in candidates}, word.casefold()
    asked = SYNONYMS.get(asked, asked)
    found = [
        *difflib.get_close_matches(asked, list(folded), n=1, cutoff=0.8),
        *(name for name in folded if min(len(asked), len(name)) >= 3 and _is_part(asked, name)),
        *difflib.get_close_matches(asked, list(folded), n=1, cutoff=cutoff),
    ]
    return folded[found[0]] if found else None


def _is_part(word: str, name: str) -> bool:
    return word.startswith(name) or name.startswith(word) or word in name.split("_")


def first_line(error: BaseException | str, empty: str | None = None) -> str:
    """Return the first line of an error's message; a line that ends with a colon is joined with the next.

    Args:
        error: The exception, or its message.
        empty: Text for an error without a message; by default the name of the exception's type.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__ if empty is None else empty
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def noted_line(error: BaseException, empty: str = "no message") -> str:
    """Return the first line of the error's message and its notes: `no such file (a note)`."""
    return first_line(error, empty) + "".join(f" ({note})" for note in getattr(error, "__notes__", ()))


def typed_line(error: BaseException, empty: str = "no message") -> str:
    """Return the error's type, the first line of its message, and its notes: `ValueError: no such file (a note)`."""
    return f"{type(error).__name__}: {noted_line(error, empty)}"
