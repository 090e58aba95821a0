"""Logging: the package logs at run.log_level, and libraries log at DEBUG only."""

import logging
import os
import warnings

from dreamer_exp.formatting import printable_lines

CHATTY = ("hydra", "ray", "ray.rllib", "ray.data", "ray.tune", "wandb", "matplotlib", "PIL", "gymnasium", "urllib3")


class PrintableFormatter(logging.Formatter):
    """Formatter that shows control characters, as those in names of files, instead of sending them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return printable_lines(super().format(record))


def quiet(level: str) -> None:
    """Set the package's log level, silence libraries unless it is DEBUG, and filter warnings no user can act on."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # ERROR is silenced too: the package prints what ends a run once, and keeps the traceback
    library_level = level if level == "DEBUG" else logging.CRITICAL
    for name in CHATTY:
        logging.getLogger(name).setLevel(library_level)
    if level != "DEBUG":
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(ray|gymnasium|tensorboardX)\b.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*RLModule.*|.*UnifiedLogger.*")
        # RLlib registers its env once more for each algorithm of a process: the second job of a sweep, a test
        warnings.filterwarnings("ignore", message=".*Overriding environment rllib-single-agent-env-v0")
        # env runners are separate processes and read this variable
        os.environ.setdefault("PYTHONWARNINGS", "ignore::DeprecationWarning")
