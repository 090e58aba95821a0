"""The outcome of an episode, under the same names for every environment."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict, cast, get_args

import numpy as np

from dreamer_exp.envs.notices import Notice
from dreamer_exp.rundir.parse import build_record

Outcome: TypeAlias = Literal[
    "success", "timeout", "failure", "pedestrian_collision", "wall_collision", "robot_collision", "fault"
]
SUCCESS: Final = "success"
TIMEOUT: Final = "timeout"
FAILURE: Final = "failure"
"""The episode ended without success, in none of the other ways."""
PEDESTRIAN_COLLISION: Final = "pedestrian_collision"
WALL_COLLISION: Final = "wall_collision"
ROBOT_COLLISION: Final = "robot_collision"
FAULT: Final = "fault"
"""The observation or the reward broke the contract (fault_guard.py)."""
COLLISIONS: Final = (PEDESTRIAN_COLLISION, WALL_COLLISION, ROBOT_COLLISION)


class EpisodeInfo(TypedDict, total=False):
    """What `info` holds at the last step of an episode; every key is optional, and other keys are ignored.

    An environment may use these names for something else: `read_info` takes a value only in the form declared here. A
    figure that the environment doesn't report is missing from the evaluation: without `outcome` there are no success
    rates, without `path_length` there is no SPL.
    """

    outcome: Outcome
    """How the episode ended; `fault` is written by the fault guard alone."""
    scenario: str
    """The kind of episode, as a name; pictures of the driven paths are grouped by it."""
    seed: int
    """The seed that, given to `reset`, repeats the episode."""
    path_length: float
    """Metres driven."""
    route_length: float
    """Metres from the start along the waypoints to the goal."""
    shortest_path_length: float
    """Metres of the shortest path from the start into the goal region; without it, the evaluation computes it from the
    scene (envs/scene.py)."""
    time_s: float
    """Simulated seconds."""
    min_clearance: float | None
    """Least distance in metres between the surfaces of robot and pedestrians; None without pedestrians."""
    near_misses: int
    """Steps that were a near miss, by the environment's definition."""
    reward_terms: dict[str, float]
    """The sum of each term of the reward."""
    faults: int
    """Faults since the last finished episode; written by the fault guard."""
    fault: str
    """The message of the last of them; written by the fault guard."""
    notices: tuple[Notice, ...]
    """What a user should read once; written by BoundaryEnv."""


@dataclass(frozen=True)
class EpisodeResult:
    """One finished episode. Fields that the environment doesn't report are None; units as in EpisodeInfo."""

    episode_return: float
    length: int
    outcome: str | None = None
    scenario: str | None = None
    seed: int | None = None
    path_length: float | None = None
    route_length: float | None = None
    shortest_path_length: float | None = None
    time_s: float | None = None
    min_clearance: float | None = None
    near_misses: int | None = None
    faults: int = 0
    fault: str | None = None
    impossible: bool = False
    """Whether it was in collision after the first step whatever the action; measured by an evaluation."""
    social: dict[str, float | None] | None = None
    """Social metrics by name (docs/metrics.md); measured by an evaluation of an environment that reports its state."""
    notices: tuple[Notice, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, without the notices."""
        return {name: value for name, value in asdict(self).items() if name != "notices"}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "EpisodeResult":
        """Return the result of `to_dict`; raises Unparsable if it is something else, as in a file of someone else."""
        return build_record(cls, tree)

    @property
    def collided(self) -> bool:
        """Whether any kind of collision ended the episode."""
        return self.outcome in COLLISIONS

    @property
    def spl(self) -> float | None:
        """Success weighted by path length: S l / max(p, l) (Anderson et al. 2018, arXiv 1807.06757, section 4).

        l is the length of the shortest path into the goal region, where an episode ends, and p that of the driven path.
        The route along the waypoints stands for the shortest path where only that is known. None without both lengths.
        """
        shortest = self.route_length if self.shortest_path_length is None else self.shortest_path_length
        if self.outcome is None or self.path_length is None or shortest is None:
            return None
        if self.outcome != SUCCESS:
            return 0.0
        return 1.0 if self.path_length <= shortest else shortest / self.path_length


class Form(NamedTuple):
    """The form of a key of EpisodeInfo: a test of a plain Python value, and the words for it."""

    allows: Callable[[Any], bool]
    words: str


MAX_TEXT = 100  # characters of a name
MAX_FAULT_TEXT = 1000
SUCCESS_KEYS = ("success", "is_success")
"""What Gymnasium-Robotics, Meta-World and Stable-Baselines3 write in place of `outcome`."""
OUTCOMES: tuple[str, ...] = get_args(Outcome)
OF_ENVIRONMENTS = tuple(outcome for outcome in OUTCOMES if outcome != FAULT)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300  # False for NaN


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable()


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) and value in (0, 1)


_LENGTH = Form(lambda value: _is_number(value) and value >= 0, "a finite number, 0 or more")
_COUNT = Form(lambda value: _is_integer(value) and value >= 0, "a whole number, 0 or more")
FORMS = {
    "outcome": Form(lambda value: isinstance(value, str) and value in OF_ENVIRONMENTS, " or ".join(OF_ENVIRONMENTS)),
    "scenario": Form(_is_text, f"a printable str of at most {MAX_TEXT} characters"),
    "seed": Form(_is_integer, "a whole number"),
    "path_length": _LENGTH,
    "route_length": _LENGTH,
    "shortest_path_length": _LENGTH,
    "time_s": _LENGTH,
    "min_clearance": Form(lambda value: value is None or _is_number(value), "a finite number or None"),
    "near_misses": _COUNT,
}
"""What an environment may report."""
_FORMS_OF_RESULTS = FORMS | {
    "outcome": Form(lambda value: isinstance(value, str) and value in OUTCOMES, " or ".join(OUTCOMES)),
    "faults": _COUNT,
    "fault": Form(lambda value: isinstance(value, str) and len(value) <= MAX_FAULT_TEXT, "a str"),
}


def read_info(info: object, *, truncated: bool) -> EpisodeInfo:
    """Return what an environment reports of its episode in the last `info`, with a notice for each key in another form.

    Without a known `outcome`, a true or false `success` or `is_success` gives it; an episode without success is a
    timeout if it was truncated, else a failure.

    Args:
        info: as the environment returned it, which may be anything.
        truncated: whether the episode was truncated, not terminated.
    """
    if not isinstance(info, Mapping):
        return {"notices": (Notice("info", f"info is ignored: it is {_show(info)}, not a dict"),)}
    known, notices = _read(info, FORMS)
    for name in SUCCESS_KEYS:
        value = _plain(info.get(name))
        if "outcome" not in known and name in info and _is_flag(value):
            known["outcome"] = SUCCESS if value else TIMEOUT if truncated else FAILURE
    if notices:
        known["notices"] = notices
    return cast(EpisodeInfo, known)


def _read(info: Mapping[Any, Any], forms: Mapping[str, Form]) -> tuple[dict[str, Any], tuple[Notice, ...]]:
    """Return the values of these keys that have the right form, and a notice for each other one."""
    known, notices = {}, []
    for name, form in forms.items():
        if name not in info:
            continue
        value = _plain(info[name])
        if form.allows(value):
            known[name] = value
        elif value is not None:
            notices.append(
                Notice(f"info[{name}]", f'info["{name}"] is ignored: it is {_show(value)}, not {form.words}')
            )
    return known, tuple(notices)


def _plain(value: Any) -> Any:
    """Return a number of numpy, an array without dimensions, or a subclass of a Python type as a value of that type."""
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, float) else value


def _show(value: object) -> str:
    """Return a short value as Python writes it, of any other one the type."""
    is_short = (isinstance(value, str) and len(value) <= MAX_TEXT) or _is_integer(value) or isinstance(value, float)
    return repr(value) if is_short or isinstance(value, (bool, type(None))) else f"a {type(value).__name__}"


def result_of(info: Mapping[str, Any], episode_return: float, length: int) -> EpisodeResult:
    """Return the result of an episode from its last info (EpisodeInfo), its return and its length in steps."""
    known, _ = _read(info, _FORMS_OF_RESULTS)
    notices = info.get("notices")
    return EpisodeResult(episode_return, length, **known, notices=notices if isinstance(notices, tuple) else ())


def without_faults(episodes: Iterable[EpisodeResult]) -> list[EpisodeResult]:
    """Return the episodes that no fault ended."""
    return [episode for episode in episodes if episode.outcome != FAULT]
