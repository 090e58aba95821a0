"""Videos of an evaluation's episodes as animated GIFs: the episodes run again and are filmed."""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.episode import SUCCESS, EpisodeResult
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import MakePolicy, batches, run_batch

MODE = "rgb_array"
STRIP = 26  # height of the caption in pixels
COLOURS = 64
DEFAULT_FPS = 30.0  # for an env without render_fps
STILL_MS = 1500  # duration of the last frame
MIN_MS = 20  # browsers slow down shorter frames


def choose(episodes: Sequence[EvaluationEpisode], results: list[EpisodeResult], count: int) -> list[EvaluationEpisode]:
    """Return the episodes to film: the first failures, then the first of the others."""
    order = sorted(zip(episodes, results, strict=True), key=lambda ended: ended[1].outcome == SUCCESS)
    return [episode for episode, _ in order[:count]]


def film(experiment: Experiment, make_policy: MakePolicy, episodes: list[EvaluationEpisode], stem: Path) -> list[Path]:
    """Write a GIF of each of these episodes; return the files.

    Complete batches run again, because the policy's noise depends on the batch; the episodes are the same.

    Raises:
        UserError: the environment renders no frames.
    """
    written = []
    for batch in batches(experiment):
        camera = Camera(set(episodes) & set(batch))
        if not camera.frames:
            continue
        results = run_batch(experiment, make_policy, batch, watch=camera, render_mode=MODE)
        for episode, result in zip(batch, results, strict=True):
            if episode in camera.frames:
                path = stem.with_name(file_name(stem.name, episode, result))
                write_gif(path, camera.frames[episode], caption_of(episode.seed, result), camera.fps)
                written.append(path)
    return written


def file_name(stem: str, episode: EvaluationEpisode, result: EpisodeResult) -> str:
    """Return `<stem>_seed<seed>_<outcome>.gif`, with the scenario where the evaluation has a list of them."""
    scenario = "" if episode.scenario is None else f"_{re.sub('[^A-Za-z0-9._-]', '-', episode.scenario)}"
    return f"{stem}{scenario}_seed{episode.seed}_{result.outcome or 'episode'}.gif"


class Camera:
    """A `Watch` that keeps the frames of some episodes, each as a PNG of some kilobytes."""

    def __init__(self, episodes: set[EvaluationEpisode]) -> None:
        self.frames: dict[EvaluationEpisode, list[bytes]] = {episode: [] for episode in episodes}
        self.fps = DEFAULT_FPS

    def __call__(self, episode: EvaluationEpisode, env: gymnasium.Env[Any, Any]) -> None:
        """Keep the frame; raise UserError if there is none."""
        if episode not in self.frames:
            return
        try:
            frame: Any = env.render()
        except (gymnasium.error.Error, NotImplementedError) as error:  # also without a rendering package
            raise UserError(f"no frames: {str(error) or type(error).__name__}") from error
        if not isinstance(frame, np.ndarray):
            raise UserError(f"no frames: render_mode={MODE} gives {type(frame).__name__}")
        png = io.BytesIO()
        Image.fromarray(frame).save(png, "PNG", compress_level=1)
        self.frames[episode].append(png.getvalue())
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
