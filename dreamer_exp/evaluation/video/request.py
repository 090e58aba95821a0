"""What `dreamer-exp evaluate` is asked to film. Importing this module imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FilmRequest:
    """The films to make.

    Attributes:
        episodes: number of episodes.
        baselines: that drive the same episodes, each next to the policy in the same film.
        lidar: whether the rays are drawn.
    """

    episodes: int = 0
    baselines: tuple[str, ...] = ()
    lidar: bool = True
