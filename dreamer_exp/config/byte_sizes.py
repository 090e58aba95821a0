"""Amounts of memory as users write them: "8 GiB", "500 MB", "2e9 B"."""

import re

UNITS = {
    "B": 1,
    **{f"{letter}B": 10 ** (3 * power) for power, letter in enumerate(("k", "M", "G", "T"), 1)},
    **{f"{letter}iB": 2 ** (10 * power) for power, letter in enumerate(("K", "M", "G", "T"), 1)},
}
_AMOUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:[eE]\+?\d+)?) ?([A-Za-z]+)")
_KNOWN = {unit.casefold(): size for unit, size in UNITS.items()}


def parse_bytes(text: str) -> int | None:
    """Return the bytes of an amount, or None if it is not one; the case of the units does not matter."""
    found = _AMOUNT.fullmatch(text.strip())
    size = _KNOWN.get(found[2].casefold()) if found else None
    return None if found is None or size is None else int(float(found[1].replace("_", "")) * size)
