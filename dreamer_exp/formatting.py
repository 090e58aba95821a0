"""Text for times, numbers, durations, sizes, and names from anywhere, in terminals, logs, tables and pages."""

import hashlib
import math
import os
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

MISSING = "-"
MAX_TEXT = 200  # characters of a text that is shown
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")  # beginning of a cell that a spreadsheet would compute


def now_utc() -> str:
    """Return the time in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def printable(text: str | Path) -> str:
    """Return the text with visible escapes for what a terminal would obey, or cannot show: `\\x1b[31m`.

    These are control and format characters (right-to-left marks too), line breaks, and bytes of a path that are not
    UTF-8.
    """
    text = os.fspath(text)
    return text if text.isprintable() else "".join(map(_visible, text))


def printable_lines(text: str) -> str:
    """Return the text with `printable` applied to each of its lines."""
    return "\n".join(map(printable, text.split("\n")))


def markdown_text(text: str) -> str:
    """Return a text of a file as Markdown that shows it, in a cell of a table too: no HTML, no link, no code."""
    return re.sub(r"([\\`*\[\]|<>&])", lambda mark: f"&#{ord(mark[0])};", shortened(printable(text)))


def shortened(text: str, most: int = MAX_TEXT) -> str:
    """Return the text, or the beginning of one longer than `most` with its length and a hash, so that two differ."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    end = f"... ({len(text):,} characters, {digest})"
    return text[: most - len(end)] + end


def csv_text(text: str) -> str:
    """Return the text of a CSV cell, with an apostrophe in front of what a spreadsheet would compute as a formula.

    A number, also one written as text, stays as it is.
    """
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def _visible(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a path (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def number(value: float | None, spec: str) -> str:
    """Return the number in this format, or a dash if it is None, NaN or infinite."""
    return MISSING if value is None or not math.isfinite(value) else format(value, spec)


def count(value: float | None) -> str:
    """Return a count with thousands separators: `12,345`; a dash if it is None, NaN or infinite."""
    return number(value, ",.0f")


def parameter_count(value: int) -> str:
    """Return a number of parameters: `850`, `4.3M`, `12M`."""
    if value < 10**5:
        return count(value)
    return f"{value / 1e6:.0f}M" if value >= 10**7 else f"{value / 1e6:.1f}M"


def clock(seconds: float) -> str:
    """Return a duration as `m:ss` or `h:mm:ss`."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def duration(seconds: float) -> str:
    """Return a duration as `40 s`, `4 min` or `2 h 5 min`; a dash if it is NaN or infinite."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def age(seconds: float) -> str:
    """Return a duration in its largest complete unit: `40 s`, `3 min`, `3 h`, `2 d`; negative ones are `0 s`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def file_size(size_bytes: float) -> str:
    """Return a size with up to three digits in the unit that fits: `812 B`, `1.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 999.5:
            return f"{size_bytes:.1f} {unit}" if size_bytes < 9.95 and unit != "B" else f"{size_bytes:.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def gibibytes(size_bytes: int) -> str:
    """Return an amount of memory in GiB, or in MiB below 0.5 GiB: `4.1 GiB`, `500 MiB`."""
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**29 else f"{size_bytes / 2**20:.0f} MiB"
