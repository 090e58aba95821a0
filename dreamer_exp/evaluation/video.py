"""Videos of an evaluation's episodes as animated GIFs: the episodes run again and are filmed."""

import io
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.episode import SUCCESS, EpisodeResult
from dreamer_exp.evaluation.dispatch import run_episodes
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished, MakePolicy, PolicyRollouts

MODE = "rgb_array"
MAX_FILMED = 4  # episodes at once, whose frames are in memory
STRIP = 26  # height of the caption in pixels
COLOURS = 64
DEFAULT_FPS = 30.0  # for an env without render_fps
STILL_MS = 1500  # duration of the last frame
MIN_MS = 20  # browsers slow down shorter frames


def choose(finished: Sequence[Finished], count: int) -> list[EvaluationEpisode]:
    """Return the episodes to film: the first failures, then the first of the others."""
    order = sorted(finished, key=lambda each: each.result.outcome == SUCCESS)
    return [each.episode for each in order[:count]]


def film(
    experiment: Experiment, make_policy: MakePolicy, episodes: Sequence[EvaluationEpisode], stem: Path
) -> list[Path]:
    """Write a GIF of each of these episodes; return the files.

    They run again, and are the same: an episode depends on its seed alone.

    Raises:
        UserError: the environment renders no frames.
    """
    written = []
    make = partial(PolicyRollouts, experiment, make_policy, Camera, MODE)
    for finished in run_episodes(
        make, episodes, at_once=MAX_FILMED, at_once_in_all=experiment.evaluation.max_parallel_envs
    ):
        episode, result, camera = finished
        path = stem.with_name(file_name(stem.name, episode, result))
        write_gif(path, camera.frames, caption_of(episode.seed, result), camera.fps)
        written.append(path)
    return written


def file_name(stem: str, episode: EvaluationEpisode, result: EpisodeResult) -> str:
    """Return `<stem>_seed<seed>_<outcome>.gif`, with the scenario where the evaluation has a list of them."""
    scenario = "" if episode.scenario is None else f"_{re.sub('[^A-Za-z0-9._-]', '-', episode.scenario)}"
    return f"{stem}{scenario}_seed{episode.seed}_{result.outcome or 'episode'}.gif"


class Camera:
    """A `Watch` that keeps an episode's frames, each as a PNG of some kilobytes."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.fps = DEFAULT_FPS

    def __call__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Keep the frame; raise UserError if there is none."""
        try:
            frame: Any = env.render()
        except (gymnasium.error.Error, NotImplementedError) as error:  # also without a rendering package
            raise UserError(f"no frames: {str(error) or type(error).__name__}") from error
        if not isinstance(frame, np.ndarray):
            raise UserError(f"no frames: render_mode={MODE} gives {type(frame).__name__}")
        png = io.BytesIO()
        Image.fromarray(frame).save(png, "PNG", compress_level=1)
        self.frames.append(png.getvalue())
        self.fps = float(env.metadata.get("render_fps") or DEFAULT_FPS)


def caption_of(seed: int, result: EpisodeResult) -> str:
    """Return the caption of an episode's frames."""
    parts = [result.scenario, f"seed {seed}", result.outcome and result.outcome.replace("_", " ")]
    return ", ".join(part for part in parts if part)


def write_gif(path: Path, frames: list[bytes], caption: str, fps: float) -> None:
    """Write frames (PNG files) at `fps` frames per second, with the caption and the time below them."""
    pictures = _captioned(frames, caption, fps)
    durations = [max(MIN_MS, round(1000 / fps))] * (len(frames) - 1) + [STILL_MS]
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(pictures)
    first.save(path, "GIF", save_all=True, append_images=pictures, duration=durations, loop=0)


def _captioned(frames: list[bytes], caption: str, fps: float) -> Iterator[Image.Image]:
    font = ImageFont.load_default(14)
    for step, png in enumerate(frames):
        frame = Image.open(io.BytesIO(png)).convert("RGB")
        picture = Image.new("RGB", (frame.width, frame.height + STRIP), "white")
        picture.paste(frame)
        pen = ImageDraw.Draw(picture)
        pen.text((8, frame.height + 5), caption, fill="black", font=font)
        pen.text((frame.width - 8, frame.height + 5), f"{step / fps:.1f} s", fill="black", font=font, anchor="ra")
        yield picture.quantize(COLOURS, dither=Image.Dither.NONE)
