"""The command `python -m dreamer_exp.checkpoints.pack RUN NAME limits=FILE`: a trained policy for this package."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dreamer_exp.checkpoints import pack as packing
from dreamer_exp.checkpoints.policy_source import PRETRAINED, find_policy
from dreamer_exp.cli.errors import run_command
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.formatting import file_size

WORDS = ("limits", "report", "acting_only")


@dataclass(frozen=True)
class PackRequest:
    """The words of a command line.

    Attributes:
        policy: a run's directory or a checkpoint.
        name: of the packed policy.
        limits: the text of the card's section of limits.
        reports: evaluation reports.
        acting_only: whether only the parts that act are packed.
    """

    policy: str
    name: str
    limits: str
    reports: tuple[Path, ...] = ()
    acting_only: bool = False


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(packing.__doc__)
def run(words: list[str]) -> int:
    """Pack the policy that the words name; return the exit code."""
    request = read_words(words)
    folder = PRETRAINED / request.name
    packing.pack(find_policy(request.policy), folder, request.limits, request.reports, request.acting_only)
    print(f"{folder}: {file_size(packing.total_bytes(folder))}")
    return 0


def read_words(words: Sequence[str]) -> PackRequest:
    """Return the request of a command line.

    Raises:
        UserError: a word is missing or wrong, or the file of limits cannot be read.
    """
    if len(words) < 2 or "=" in words[1]:
        raise UserError("pack: name the policy and the folder: RUN NAME limits=FILE.")
    if not re.fullmatch(r"[a-z0-9_-]+", words[1]):  # a path would replace a folder anywhere
        raise UserError(f"{words[1]}: the name of a packed policy has a to z, 0 to 9, _ and - only.")
    given: dict[str, list[str]] = {name: [] for name in WORDS}
    for word in words[2:]:
        name, sign, value = word.partition("=")
        if name not in WORDS or not sign or not value:
            raise UserError(f"{word}: pack takes {', '.join(f'{each}=' for each in WORDS)}.{nearest(name, WORDS)}")
        given[name].append(value)
    if twice := next((name for name in ("limits", "acting_only") if len(given[name]) > 1), None):
        raise UserError(f"{twice}={given[twice][1]}: it is given twice.")
    if not given["limits"]:
        raise UserError("pack: limits= is missing; name a text file that describes what the policy cannot do.")
    acting_only = "".join(given["acting_only"]) or "false"
    if acting_only not in ("true", "false"):
        raise UserError(f"acting_only={acting_only}: it takes true or false.")
    reports = tuple(map(Path, given["report"]))
    return PackRequest(words[0], words[1], _read_text(given["limits"][0]), reports, acting_only == "true")


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"limits={path}: it cannot be read ({error}); name a text file in UTF-8.") from error
