"""Films of episodes as animated GIFs: those of an evaluation, driven once more with a camera on."""

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
STRIP = 26  # pixels under the frame, for its caption
COLOURS = 64
USUAL_FPS = 30.0  # of an env that names none
STILL_MS = 1500  # the last frame stays
LEAST_MS = 20  # browsers slow down what is faster


def choose(seeds: list[int], results: list[EpisodeResult], count: int) -> list[int]:
    """The seeds of the episodes to film: the first failures, then the first of the others."""
    order = sorted(zip(seeds, results, strict=True), key=lambda episode: episode[1].outcome == SUCCESS)
    return [seed for seed, _ in order[:count]]


def film(experiment: Experiment, make_policy: MakePolicy, seeds: list[int], stem: Path) -> list[Path]:
    """Writes `<stem>_seed<seed>_<outcome>.gif` of each of these episodes; returns the files.

    The policy's noise depends on the episodes beside, so whole batches are driven again, and the same things happen.

    Raises:
        UserError: the environment gives no frames.
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
                write_gif(stem.with_name(name), camera.frames[seed], told(seed, result), camera.fps)
                written.append(stem.with_name(name))
    return written


class Camera:
    """A `Watch` of an evaluation that keeps the frames of some of its seeds, each as a PNG of some kilobytes."""

    def __init__(self, seeds: set[int]) -> None:
        self.frames: dict[int, list[bytes]] = {seed: [] for seed in seeds}
        self.fps = USUAL_FPS

    def __call__(self, seed: int, env: gymnasium.Env[Any, Any]) -> None:
        """Keeps the frame; raises UserError where there is none."""
        if seed not in self.frames:
            return
        try:
            frame: Any = env.render()
        except (gymnasium.error.Error, NotImplementedError) as error:  # or a package to draw with is missing
            raise UserError(f"no frames: {str(error) or type(error).__name__}") from error
        if not isinstance(frame, np.ndarray):
            raise UserError(f"no frames: render_mode={MODE} gives {type(frame).__name__}")
        png = io.BytesIO()
        Image.fromarray(frame).save(png, "PNG", compress_level=1)
        self.frames[seed].append(png.getvalue())
        self.fps = float(env.metadata.get("render_fps") or USUAL_FPS)


def told(seed: int, result: EpisodeResult) -> str:
    """What an episode was, as its frames' caption."""
    parts = [result.scenario, f"seed {seed}", result.outcome and result.outcome.replace("_", " ")]
    return ", ".join(part for part in parts if part)


def write_gif(path: Path, frames: list[bytes], caption: str, fps: float) -> None:
    """Frames (PNG files) at `fps` a second, with the caption and the time below; the last one stays a while."""
    pictures = _captioned(frames, caption, fps)
    durations = [max(LEAST_MS, round(1000 / fps))] * (len(frames) - 1) + [STILL_MS]
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
