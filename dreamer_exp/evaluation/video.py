"""Videos of an evaluation's episodes as animated GIFs: the episodes run again and are filmed."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.episode import SUCCESS, EpisodeResult
from dreamer_exp.evaluation.rollout import MakePolicy, batches, run_batch

MODE = "rgb_array"
STRIP = 26  # height of the caption in pixels
COLOURS = 64
DEFAULT_FPS = 30.0  # for an env without render_fps
STILL_MS = 1500  # duration of the last frame
MIN_MS = 20  # browsers slow down shorter frames


def choose(seeds: list[int], results: list[EpisodeResult], count: int) -> list[int]:
    """Return the seeds of the episodes to film: the first failures, then the first of the others."""
    order = sorted(zip(seeds, results, strict=True), key=lambda episode: episode[1].outcome == SUCCESS)
    return [seed for seed, _ in order[:count]]


def film(experiment: Experiment, make_policy: MakePolicy, seeds: list[int], stem: Path) -> list[Path]:
    """Write `<stem>_seed<seed>_<outcome>.gif` of each of these episodes; return the files.

    Complete batches run again, because the policy's noise depends on the batch; the episodes are the same.

    Raises:
        UserError: the environment renders no frames.
    """
    written = []
    for batch in batches(experiment):
        camera = Camera(set(seeds) & set(batch))
        if not camera.frames:
            continue
        results = run_batch(experiment, make_policy, batch, watch=camera, render_mode=MODE)
        for seed, result in zip(batch, results, strict=True):
            if seed in camera.frames:
                name = f"{stem.name}_seed{seed}_{result.outcome or 'episode'}.gif"
                write_gif(stem.with_name(name), camera.frames[seed], caption_of(seed, result), camera.fps)
                written.append(stem.with_name(name))
    return written


class Camera:
    """A `Watch` that keeps the frames of some seeds, each as a PNG of some kilobytes."""

    def __init__(self, seeds: set[int]) -> None:
        self.frames: dict[int, list[bytes]] = {seed: [] for seed in seeds}
        self.fps = DEFAULT_FPS

    def __call__(self, seed: int, env: gymnasium.Env[Any, Any]) -> None:
        """Keep the frame; raise UserError if there is none."""
        if seed not in self.frames:
            return
        try:
            frame: Any = env.render()
        except (gymnasium.error.Error, NotImplementedError) as error:  # also without a rendering package
            raise UserError(f"no frames: {str(error) or type(error).__name__}") from error
        if not isinstance(frame, np.ndarray):
            raise UserError(f"no frames: render_mode={MODE} gives {type(frame).__name__}")
        png = io.BytesIO()
        Image.fromarray(frame).save(png, "PNG", compress_level=1)
        self.frames[seed].append(png.getvalue())
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
