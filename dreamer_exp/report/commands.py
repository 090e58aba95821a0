"""The commands that continue with a run, for its last lines and for its page."""

from pathlib import Path
from typing import Any

from dreamer_exp.config.command_words import pasteable, path_word


def next_commands(root: Path, iterations: Any, *, finished: bool = True, imports: bool = False) -> dict[str, str]:
    """Return what to do with a run, and for each the command that can be pasted into a shell.

    Args:
        root: The run's directory.
        iterations: The iterations so far; None or 0 without any.
        finished: Whether the run has done all its iterations.
        imports: Whether the environment's options name a module, which `evaluate` imports with trust=true only.
    """
    trust = ["trust=true"] if imports else []
    commands = {} if finished else {"Resume": pasteable(path_word("resume", root))}
    commands["Evaluate and film"] = pasteable("evaluate", root, "episodes=100", "video=3", *trust)
    if finished and iterations:
        commands["Train twice as long"] = pasteable(path_word("resume", root), f"run.train_iterations={2 * iterations}")
    if any(root.glob("wandb/offline-run-*")):
        commands["Upload to W&B"] = pasteable("runs", "sync", root)
    return commands
