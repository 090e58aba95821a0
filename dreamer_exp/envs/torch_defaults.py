"""The global settings of torch, which an environment shares with the learner.

Importing this imports no torch: a process without torch has nothing to keep.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """One setting: its name, how to set it, and what an environment should do instead of changing it."""

    name: str
    set: Callable[[Any, Any], object]
    advice: str


ALONE = "leave this setting alone"
SETTINGS = (  # in the order of `_read`
    Setting("default dtype", lambda torch, value: torch.set_default_dtype(value), "pass dtype=... to its tensors"),
    Setting(
        "default device",
        lambda torch, value: torch.set_default_device(None if value.type == "cpu" else value),
        "pass device=... to its tensors",
    ),
    Setting("grad mode", lambda torch, value: torch.set_grad_enabled(value), "use `with torch.no_grad():`"),
    Setting("deterministic algorithms", lambda torch, value: torch.use_deterministic_algorithms(value), ALONE),
    Setting("anomaly detection", lambda torch, value: torch.autograd.set_detect_anomaly(value), ALONE),
    Setting("matmul precision", lambda torch, value: torch.set_float32_matmul_precision(value), ALONE),
    Setting("number of threads", lambda torch, value: torch.set_num_threads(value), ALONE),
)
SEED_ADVICE = "draw from a torch.Generator of its own"


class Change(NamedTuple):
    """A setting that was changed and has been set back."""

    name: str
    before: str
    after: str
    advice: str


@contextmanager
def kept_defaults() -> Iterator[list[Change]]:
    """Set torch's global settings back after the block; the yielded list then names those that it had changed.

    The CPU's global generator is set back only if the block seeded it; drawing from it is no change.
    """
    changes: list[Change] = []
    torch: Any = sys.modules.get("torch")
    if torch:
        settings, seed, state = _read(torch), torch.initial_seed(), torch.get_rng_state()
    try:
        yield changes
    finally:
        if torch:
            changes += _restore(torch, settings)
            if (changed := torch.initial_seed()) != seed:
                torch.default_generator.set_state(state)
                changes.append(Change("seed", str(seed), str(changed), SEED_ADVICE))
        elif torch := sys.modules.get("torch"):  # the block imported it
            changes += _restore(torch, _read_at_import(torch))


def _read(torch: Any) -> tuple[Any, ...]:
    """Return the value of each setting; this takes some microseconds, as it happens at every step."""
    return (
        torch.get_default_dtype(),
        torch.empty(0).device,  # a tenth of the time of torch.get_default_device
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
    )


def _read_at_import(torch: Any) -> tuple[Any, ...]:
    """Return what `_read` returns in a process that has just imported torch; the threads are taken as they are."""
    return (torch.float32, torch.device("cpu"), True, False, False, "highest", torch.get_num_threads())


def _restore(torch: Any, before: tuple[Any, ...]) -> list[Change]:
    """Set the settings to these values; return those that had others."""
    after = _read(torch)
    if after == before:
        return []
    changed = [each for each in zip(SETTINGS, before, after, strict=True) if each[1] != each[2]]
    for setting, old, _ in changed:
        setting.set(torch, old)
    return [Change(setting.name, str(old), str(new), setting.advice) for setting, old, new in changed]
