"""Notices: lines about an environment that a user should read once in a run, from whichever process they come."""

import logging
from collections.abc import Iterable
from typing import NamedTuple

log = logging.getLogger(__name__)


class Notice(NamedTuple):
    """A line, and what it is about; of several notices with the same subject, the first is logged."""

    subject: str
    line: str


_logged: set[str] = set()


def log_notices(notices: Iterable[Notice]) -> None:
    """Log each notice as a warning, unless this process has logged one with its subject."""
    for notice in notices:
        if notice.subject not in _logged:
            _logged.add(notice.subject)
            log.warning("%s", notice.line)
