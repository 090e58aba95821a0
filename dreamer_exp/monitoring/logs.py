"""Logging: our own at run.log_level; libraries speak at DEBUG only."""

import logging
import os
import warnings

CHATTY = ("hydra", "ray", "ray.rllib", "ray.data", "ray.tune", "wandb", "matplotlib", "PIL", "gymnasium", "urllib3")


def quiet(level: str) -> None:
    """Sets the level of our own log, silences libraries but at DEBUG, and drops notices no user can act on."""
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", force=True)
    # not even their errors: what ends a run is told by us, once, and its traceback is kept
    library_level = level if level == "DEBUG" else logging.CRITICAL
    for name in CHATTY:
        logging.getLogger(name).setLevel(library_level)
    if level != "DEBUG":
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(ray|gymnasium|tensorboardX)\b.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*RLModule.*|.*UnifiedLogger.*")
        # RLlib registers its env anew for each algorithm of a process: the second job of a sweep, a test
        warnings.filterwarnings("ignore", message=".*Overriding environment rllib-single-agent-env-v0")
        # env runners are processes of their own and read this one
        os.environ.setdefault("PYTHONWARNINGS", "ignore::DeprecationWarning")
