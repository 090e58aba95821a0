"""Groups of runs: equal settings apart from the seed, or (`--by KEY`) one value of a key."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dreamer_exp.compare.differences import ABSENT, as_typed, code_of, hardware_of, resumes_of, sort_key
from dreamer_exp.compare.model import Group, Run
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.experiment import WITHOUT_EFFECT
from dreamer_exp.formatting import shortened

SEED, NAME, ALGORITHM = "run.seed", "run.id", "algo.name"
# measurement and memory placement: listed as differences, but they do not affect results and separate no groups
NEUTRAL_KEYS = ("evaluation.baselines", "evaluation.every_env_steps", "algo.replay_device")
IGNORED_KEYS = {f"{group}.{name}" for group, names in WITHOUT_EFFECT.items() for name in names} | {SEED, *NEUTRAL_KEYS}
T = TypeVar("T")


@dataclass(frozen=True)
class Grouping:
    """Groups and the keys that define them."""

    groups: tuple[Group, ...]
    differing: tuple[str, ...]  # keys that affect results and differ between groups
    pooled: tuple[str, ...] = ()  # with `by`: keys that differ within groups, whose values are pooled


def group_runs(runs: Sequence[Run], by: str | None = None) -> Grouping:
    """Group the runs whose config is known.

    Raises:
        UserError: `by` is not one of their keys, or is the end of more than one.
    """
    known = [run for run in runs if run.config]
    differing = _differing(known)
    if by is None:
        shown = _label_keys(known, differing)
        parts = partition(known, signature)
        return Grouping(tuple(_group(part, shown, differing) for part in _sorted(parts, shown)), differing)
    key = _resolve(by, known)
    parts = partition(known, lambda run: repr(value_of(run, key)))
    pooled = tuple(other for other in differing if other != key and any(_settings(part, [other]) > 1 for part in parts))
    shared = (key, *(other for other in differing if other != key and other not in pooled))
    groups = tuple(_group(part, (key,), shared) for part in _sorted(parts, (key,)))
    return Grouping(groups, shared, pooled)


LENGTH = ("run.train_iterations", "run.max_minutes", "run.max_env_steps", "run.stop_when")


def changed_settings(run: Run) -> list[str]:
    """Return keys that affect results and were changed by a resume; another length only extends a run."""
    changes = [entry.get("changed") for entry in resumes_of(run)]
    keys = dict.fromkeys(key for changed in changes if isinstance(changed, dict) for key in changed)
    return [key for key in keys if _affects_result(key) and not key.startswith(LENGTH)]


def signature(run: Run) -> str:
    """Return a text that is equal exactly for runs of equal settings."""
    return repr(sorted(_setting(run).items()))


def strata(runs: Sequence[Run]) -> tuple[tuple[int, ...], ...]:
    """Return the indices of the runs of each setting: the strata of the bootstrap.

    A setting with a single run has no spread to resample; then all runs form one stratum.
    """
    parts = tuple(tuple(part) for part in partition(range(len(runs)), lambda index: signature(runs[index])))
    return parts if all(len(part) > 1 for part in parts) else (tuple(range(len(runs))),)


def partition(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Return the items of each key; keys and items keep their order."""
    parts: dict[Hashable, list[T]] = {}
    for item in items:
        parts.setdefault(key(item), []).append(item)
    return list(parts.values())


def value_of(run: Run, key: str) -> Any:
    """Return a run's value of a config key, or of a property of its code or hardware."""
    return run.config[key] if key in run.config else (code_of(run) | hardware_of(run)).get(key, ABSENT)


def _affects_result(key: str) -> bool:
    return key not in IGNORED_KEYS and not key.startswith("tracking.")


def _setting(run: Run) -> dict[str, Any]:
    """Return the keys that affect the result, as in Experiment.fingerprint, without the seed."""
    return {key: value for key, value in run.config.items() if _affects_result(key)}


def _differing(runs: Sequence[Run]) -> tuple[str, ...]:
    settings = [_setting(run) for run in runs]
    keys = dict.fromkeys(key for tree in settings for key in tree)
    return tuple(key for key in keys if len({repr(tree.get(key, ABSENT)) for tree in settings}) > 1)


def _resolve(by: str, runs: Sequence[Run]) -> str:
    """Return the full key of a short one: `training_ratio` is algo.training_ratio."""
    keys = list(dict.fromkeys(key for run in runs for key in (*run.config, *code_of(run), *hardware_of(run))))
    if by in keys:
        return by
    matches = [key for key in keys if key.endswith(f".{by}")]
    if len(matches) > 1:
        raise UserError(f"--by {by} matches {len(matches)} keys: {', '.join(matches)}; give the full key.")
    if not matches:
        short = [key.rpartition(".")[2] for key in keys]
        raise UserError(f"--by {by} is not a key of these runs.{nearest(by, [*keys, *short])}")
    return matches[0]


def _label_keys(runs: Sequence[Run], differing: Sequence[str]) -> tuple[str, ...]:
    """Return keys that distinguish all settings in labels: typed ones first, then those with the most values.

    An experiment's name or a model size sets a dozen keys; a label needs one of them. An algorithm sets them all.
    """
    typed = {text.lstrip("+").partition("=")[0] for run in runs for text in _command_words(run)}
    settings = len({signature(run) for run in runs})
    one_name_each = _settings(runs, [*differing, NAME]) == settings  # no setting was run under two names
    by_values = sorted(differing, key=lambda key: -_settings(runs, [key]))
    chosen: list[str] = []
    distinguished = 1
    first = [key for key in differing if key == ALGORITHM]
    for key in (*first, *(key for key in differing if key in typed), *((NAME,) if one_name_each else ()), *by_values):
        finer = _settings(runs, [*chosen, key])
        if distinguished < finer:
            chosen.append(key)
            distinguished = finer
        if distinguished == settings:
            break
    return tuple(key for key in (NAME, *differing) if key in chosen)


def _command_words(run: Run) -> list[str]:
    """Return the words of the run's command line, or the overrides that its sweep set."""
    line, name = run.provenance.get("command_line"), run.job.get("name")
    words = [*(line if isinstance(line, list) else []), *(name.split() if isinstance(name, str) else [])]
    return [word for word in words if isinstance(word, str)]


def _settings(runs: Sequence[Run], keys: Sequence[str]) -> int:
    """Count the settings that these keys distinguish."""
    return len({tuple(repr(run.config.get(key, ABSENT)) for key in keys) for run in runs})


def _sorted(parts: list[list[Run]], keys: Sequence[str]) -> list[list[Run]]:
    return sorted(parts, key=lambda part: [sort_key(value_of(part[0], key)) for key in keys])


def _group(runs: list[Run], shown: Sequence[str], kept: Sequence[str]) -> Group:
    """Return a group, labelled by the shown keys in their shortest unique form."""
    ends = [key.rpartition(".")[2] for key in shown]
    names = [end if ends.count(end) == 1 else key for key, end in zip(shown, ends, strict=True)]
    texts = [as_typed(value_of(runs[0], key)) for key in shown]
    plain = {NAME, *((ALGORITHM,) if ends.count("name") == 1 else ())}
    labelled = zip(shown, names, texts, strict=True)
    label = " ".join(text if key in plain else f"{name}={text}" for key, name, text in labelled)
    return Group(shortened(label) or _common_name(runs), {key: value_of(runs[0], key) for key in kept}, tuple(runs))


def _common_name(runs: Sequence[Run]) -> str:
    """Return the label of a single group: the runs' run.id where they share it."""
    names = {as_typed(run.config.get(NAME)) for run in runs}
    return names.pop() if len(names) == 1 else "all runs"
