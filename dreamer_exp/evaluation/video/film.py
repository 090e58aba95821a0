"""Films of an evaluation's episodes: they run again, and are the same, because an episode depends on its seed alone."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import zip_longest
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import baselines_of, lack_of, split_applicable
from dreamer_exp.envs.episode import SUCCESS
from dreamer_exp.envs.make import make_raw_env
from dreamer_exp.evaluation.baselines import BaselineRollouts, driven_by
from dreamer_exp.evaluation.dispatch import ignore, keep_silent, run_episodes
from dreamer_exp.evaluation.episodes import EvaluationEpisode, episode_list
from dreamer_exp.evaluation.generators import seeded_global_generators
from dreamer_exp.evaluation.metrics import rates_by_scenario
from dreamer_exp.evaluation.rollout import Finished, MakePolicy, MakeRollouts, PolicyRollouts
from dreamer_exp.evaluation.video.camera import MODE, Camera
from dreamer_exp.evaluation.video.frames import Film, Panel, caption_of
from dreamer_exp.evaluation.video.request import FilmRequest
from dreamer_exp.evaluation.video.write import film_suffix, write_film
from dreamer_exp.evaluation.workers.base import OpenWorkers, this_process

MAX_FILMED = 4  # episodes of one policy at once, whose recordings are in memory
POLICY = "policy"


def choose(finished: Sequence[Finished], count: int) -> list[EvaluationEpisode]:
    """Return the episodes to film: failures, then others, of all scenarios in turn and of the worst one first."""
    failures = [each for each in finished if each.result.outcome != SUCCESS]
    others = [each for each in finished if each.result.outcome == SUCCESS]
    worst_first = list(rates_by_scenario([each.result for each in finished]))
    return [each.episode for each in (*in_turn(failures, worst_first), *in_turn(others, worst_first))][:count]


def in_turn(finished: Sequence[Finished], scenarios: Sequence[str]) -> list[Finished]:
    """Return the first episode of each scenario, then the second of each; without scenarios, all in their order."""
    by_scenario: dict[str | None, list[Finished]] = {name: [] for name in scenarios}
    for each in finished:
        by_scenario.setdefault(each.result.scenario, []).append(each)
    return [each for some in zip_longest(*by_scenario.values()) for each in some if each is not None]


def film(
    experiment: Experiment,
    make_policy: MakePolicy,
    episodes: Sequence[EvaluationEpisode],
    stem: Path,
    request: FilmRequest,
    *,
    on_finished: Callable[[Finished], None] = ignore,
    on_wait: Callable[[], None] = keep_silent,
    workers: OpenWorkers = this_process,
) -> Iterator[Path]:
    """Write a film of each of these episodes; yield each file when it is complete.

    Args:
        experiment: gives the env and the contract.
        make_policy: builds the policy.
        episodes: to film.
        stem: the path that every file's name begins with.
        request: gives the baselines next to the policy, and whether the rays are drawn.
        on_finished: called with each episode of each policy when it ends.
        on_wait: called several times a second while episodes run.
        workers: where the episodes run.

    Raises:
        UserError: the environment has neither a scene nor rendered frames.
    """
    makes: dict[str, MakeRollouts] = {POLICY: partial(PolicyRollouts, experiment, make_policy, Camera, MODE)}
    for name in request.baselines:
        makes[name] = partial(BaselineRollouts, driven_by(experiment, name), name, Camera, MODE)
    for first in range(0, len(episodes), MAX_FILMED):
        some = episodes[first : first + MAX_FILMED]
        reels = {
            name: run_episodes(
                make,
                some,
                at_once=MAX_FILMED,
                at_once_in_all=experiment.evaluation.max_parallel_envs,
                on_finished=on_finished,
                on_wait=on_wait,
                workers=workers,
            )
            for name, make in makes.items()
        }
        for place, episode in enumerate(some):
            panels = [Panel(name, reels[name][place].recording, reels[name][place].result) for name in makes]
            path = stem.with_name(file_name(stem.name, episode, panels) + film_suffix())
            frames = Film(panels, caption_of(episode.seed, panels[0].result.scenario), request.lidar)
            write_film(path, frames, frames.frame_s)
            yield path


def file_name(stem: str, episode: EvaluationEpisode, panels: Sequence[Panel]) -> str:
    """Return `<stem>_seed<seed>_<outcome>`, with the scenario of a list, and `_<baseline>_<outcome>` for each other."""
    scenario = "" if episode.scenario is None else f"_{re.sub('[^A-Za-z0-9._-]', '-', episode.scenario)}"
    outcomes = [
        f"_{'' if panel.name == POLICY else f'{panel.name}_'}{panel.result.outcome or 'episode'}" for panel in panels
    ]
    return f"{stem}{scenario}_seed{episode.seed}{''.join(outcomes)}"


def refuse_unfilmable(experiment: Experiment, request: FilmRequest) -> None:
    """Film the beginning of the first episode, so that what cannot be filmed is refused before an evaluation.

    Raises:
        UserError: the environment has neither a scene nor rendered frames, or does not have one of the baselines.
    """
    env = experiment.env
    if missing := split_applicable([*request.baselines], env)[1]:
        if lack := lack_of(missing[0], env):
            raise UserError(f"baseline={missing[0]} {lack}; or leave it out.")
        known = ", ".join(split_applicable([*baselines_of(env)], env)[0])
        raise UserError(f"baseline={','.join(missing)}: not for env={env.name} with these options; it has: {known}.")
    episode = episode_list(experiment).episodes[0]
    try:
        with seeded_global_generators(episode.seed), closing(make_raw_env(env, MODE)) as made:
            episode.begin(made)
            Camera()(made)
    except UserError as error:
        raise UserError(f"video={request.episodes}: {env.label} cannot be filmed: {error}") from error
