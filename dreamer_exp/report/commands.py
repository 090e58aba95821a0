"""The commands that continue with a run, for its last lines and for its page."""

import re
from pathlib import Path
from typing import Any

from dreamer_exp.config.command_words import pasteable, path_word

MAX_REASON = 500  # characters


def next_commands(
    root: Path, iterations: Any, *, finished: bool = True, imports: bool = False, end_reason: Any = None
) -> dict[str, str]:
    """Return what to do with a run, and for each the command that can be pasted into a shell.

    Args:
        root: The run's directory.
        iterations: The iterations so far; None or 0 without any.
        finished: Whether the run has done all its iterations.
        end_reason: The key that ended it and its value, as status.json has it.
        imports: Whether the environment's options name a module, which `evaluate` imports with trust=true only.
    """
    trust = ["trust=true"] if imports else []
    commands = {} if finished else {"Resume": pasteable(path_word("resume", root))}
    commands["Evaluate and film"] = pasteable("evaluate", root, "episodes=100", "video=3", *trust)
    if finished and iterations:
        what, words = _longer(end_reason, iterations)
        commands[what] = pasteable(path_word("resume", root), *words)
    if any(root.glob("wandb/offline-run-*")):
        commands["Upload to W&B"] = pasteable("runs", "sync", root)
    return commands


def _longer(end_reason: Any, iterations: int) -> tuple[str, list[str]]:
    """Return how a run that ended for this reason is trained longer, in words and as overrides."""
    text = end_reason if isinstance(end_reason, str) and len(end_reason) <= MAX_REASON else ""
    if text.startswith("run.stop_when={"):
        return "Train further", [f"run.stop_when.{name}=null" for name in re.findall(r"([a-z_]+): ", text)]
    if limit := re.fullmatch(r"(run\.max_minutes|run\.max_env_steps)=(\d+(?:\.\d+)?)", text):
        return "Train twice as long", [f"{limit[1]}={2 * float(limit[2]):.10g}"]
    return "Train twice as long", [f"run.train_iterations={2 * iterations}"]
