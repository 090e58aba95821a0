"""Runs -> groups of runs that are equal but for their seed, or (`--by KEY`) that share one key's value."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dreamer_exp.compare.difference import ABSENT, code, hardware, order, resumes, word
from dreamer_exp.compare.model import Group, Run
from dreamer_exp.config.checks import nearest
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import UNSHAPING

SEED, NAME = "run.seed", "run.id"
# decide how a run is measured or where its memory lies, not what it learns: told where they differ, but part no group
ASIDE = ("evaluation.baselines", "evaluation.every_env_steps", "algo.replay_device")
IGNORED = {f"{group}.{name}" for group, names in UNSHAPING.items() for name in names} | {SEED, *ASIDE}
T = TypeVar("T")


@dataclass(frozen=True)
class Grouping:
    """How runs were grouped."""

    groups: tuple[Group, ...]
    differing: tuple[str, ...]  # keys that shape results and differ between groups
    rest: tuple[str, ...] = ()  # those that differ within groups: `--by` takes all their values together


def group(runs: Sequence[Run], by: str | None = None) -> Grouping:
    """Groups the runs whose config is known.

    Raises:
        UserError: `by` is no key of theirs, or the end of more than one.
    """
    known = [run for run in runs if run.config]
    differing = _differing(known)
    if by is None:
        shown = _telling(known, differing)
        parts = split(known, signature)
        return Grouping(tuple(_group(part, shown, differing) for part in _in_order(parts, shown)), differing)
    key = _resolve(by, known)
    parts = split(known, lambda run: repr(value(run, key)))
    rest = tuple(other for other in differing if other != key and any(_parts(part, [other]) > 1 for part in parts))
    shared = (key, *(other for other in differing if other != key and other not in rest))
    groups = tuple(_group(part, (key,), shared) for part in _in_order(parts, (key,)))
    return Grouping(groups, shared, rest)


def setting(run: Run) -> dict[str, Any]:
    """The run's keys that shape its result (as Experiment.fingerprint has it), without its seed."""
    return {key: found for key, found in run.config.items() if _shapes(key)}


def changed_settings(run: Run) -> list[str]:
    """Keys that shape its result and were changed as it was resumed; more iterations only make it longer."""
    told = [again.get("changed") for again in resumes(run)]
    keys = dict.fromkeys(key for changed in told if isinstance(changed, dict) for key in changed)
    return [key for key in keys if _shapes(key) and key != "run.train_iterations"]


def signature(run: Run) -> str:
    """Equal exactly for runs of equal settings."""
    return repr(sorted(setting(run).items()))


def strata(runs: Sequence[Run]) -> tuple[tuple[int, ...], ...]:
    """Indices of the runs of each setting: what a stratified bootstrap resamples within.

    All in one where a setting has a single run: drawn from itself alone it would have no spread.
    """
    parts = tuple(tuple(part) for part in split(range(len(runs)), lambda index: signature(runs[index])))
    return parts if all(len(part) > 1 for part in parts) else (tuple(range(len(runs))),)


def split(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """The items of each key, both in the order of their coming."""
    found: dict[Hashable, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def value(run: Run, key: str) -> Any:
    """What a run has under a key of its config, or under one of what is known of its code and hardware."""
    return run.config[key] if key in run.config else (code(run) | hardware(run)).get(key, ABSENT)


def _shapes(key: str) -> bool:
    return key not in IGNORED and not key.startswith("tracking.")


def _differing(runs: Sequence[Run]) -> tuple[str, ...]:
    settings = [setting(run) for run in runs]
    keys = dict.fromkeys(key for tree in settings for key in tree)
    return tuple(key for key in keys if len({repr(tree.get(key, ABSENT)) for tree in settings}) > 1)


def _resolve(asked: str, runs: Sequence[Run]) -> str:
    """The whole key that a user's word names: `training_ratio` is algo.training_ratio."""
    keys = list(dict.fromkeys(key for run in runs for key in (*run.config, *code(run), *hardware(run))))
    if asked in keys:
        return asked
    ends = [key for key in keys if key.endswith(f".{asked}")]
    if len(ends) > 1:
        raise UserError(f"--by {asked} is the end of {len(ends)} keys: {', '.join(ends)}; give the whole one.")
    if not ends:
        short = [key.rpartition(".")[2] for key in keys]
        raise UserError(f"--by {asked} is no key of these runs.{nearest(asked, [*keys, *short])}")
    return ends[0]


def _telling(runs: Sequence[Run], differing: Sequence[str]) -> tuple[str, ...]:
    """Keys that tell the settings apart in a label: those that were typed, then what else tells most, till all are.

    An experiment's name or a size of model sets a dozen keys; a label needs one.
    """
    typed = {text.lstrip("+").partition("=")[0] for run in runs for text in _words(run)}
    settings = len({signature(run) for run in runs})
    chosen: list[str] = []
    told = 1
    one_each = _parts(runs, [*differing, NAME]) == settings  # no setting was run under two names
    named = (NAME,) if one_each else ()
    for key in (*(key for key in differing if key in typed), *named, *_most_telling_first(runs, differing)):
        finer = _parts(runs, [*chosen, key])
        if told < finer:
            chosen.append(key)
            told = finer
        if told == settings:
            break
    return tuple(key for key in (NAME, *differing) if key in chosen)


def _most_telling_first(runs: Sequence[Run], keys: Sequence[str]) -> list[str]:
    return sorted(keys, key=lambda key: -_parts(runs, [key]))


def _words(run: Run) -> list[str]:
    """What was typed for it: a run's own command line, or what its sweep set."""
    line, name = run.provenance.get("command_line"), run.job.get("name")
    typed = [*(line if isinstance(line, list) else []), *(name.split() if isinstance(name, str) else [])]
    return [text for text in typed if isinstance(text, str)]


def _parts(runs: Sequence[Run], keys: Sequence[str]) -> int:
    """How many settings these keys tell apart."""
    return len({tuple(repr(run.config.get(key, ABSENT)) for key in keys) for run in runs})


def _in_order(parts: list[list[Run]], keys: Sequence[str]) -> list[list[Run]]:
    return sorted(parts, key=lambda part: [order(value(part[0], key)) for key in keys])


def _group(runs: list[Run], shown: Sequence[str], kept: Sequence[str]) -> Group:
    """A group labelled by the shown keys in their shortest form."""
    ends = [key.rpartition(".")[2] for key in shown]
    names = [end if ends.count(end) == 1 else key for key, end in zip(shown, ends, strict=True)]
    texts = [word(value(runs[0], key)) for key in shown]
    label = " ".join(
        text if key == NAME else f"{name}={text}" for key, name, text in zip(shown, names, texts, strict=True)
    )
    return Group(label or _common_name(runs), {key: value(runs[0], key) for key in kept}, tuple(runs))


def _common_name(runs: Sequence[Run]) -> str:
    """What the runs of a single group are called: their run.id, where they share it."""
    names = {run.config.get("run.id") for run in runs}
    return str(names.pop()) if len(names) == 1 else "all runs"
