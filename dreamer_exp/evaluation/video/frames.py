"""The frames of a film: one panel for each policy, what is filmed below them, and the outcome in the picture."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.trajectories import STYLES
from dreamer_exp.evaluation.video.camera import Camera
from dreamer_exp.palette import BLACK, GREY, ORANGE, WHITE

STRIP = 26  # height of the caption, and of the names above several panels, in pixels
GAP = 4  # pixels between panels
BANNER = 30  # height of the outcome


class Panel(NamedTuple):
    """One policy's episode."""

    name: str
    camera: Camera
    result: EpisodeResult


class Film:
    """The frames of the episode of one seed, driven by one or more policies at the same time.

    Args:
        panels: from left to right; a panel whose episode has ended keeps its last picture.
        caption: stands below them.
        lidar: whether the rays are drawn.

    Attributes:
        frame_s: seconds between frames, the shortest step of the panels.
    """

    def __init__(self, panels: Sequence[Panel], caption: str, lidar: bool = True) -> None:
        self.panels, self.caption = panels, caption
        steps = [camera.times_s[1] - camera.times_s[0] for _, camera, _ in panels if len(camera.times_s) > 1]
        self.frame_s = min(steps, default=1.0)
        self._end_s = max(panel.camera.times_s[-1] for panel in panels)
        self._reels = [_Reel(panel, lidar) for panel in panels]

    def __len__(self) -> int:
        return math.ceil(self._end_s / self.frame_s - 1e-6) + 1

    def __getitem__(self, number: int) -> Image.Image:
        """Return a frame, from 0; all have the same width and height, which are even."""
        if number >= len(self):
            raise IndexError(number)
        time_s = min(number * self.frame_s, self._end_s)
        return self._compose([reel.at(time_s) for reel in self._reels], time_s)

    def _compose(self, pictures: Sequence[Image.Image], time_s: float) -> Image.Image:
        top = STRIP if len(pictures) > 1 else 0
        width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
        height = top + max(picture.height for picture in pictures) + STRIP
        frame = Image.new("RGB", (width + width % 2, height + height % 2), WHITE)  # MP4 needs even sizes
        pen, font = ImageDraw.Draw(frame), ImageFont.load_default(14)
        left = 0
        for panel, picture in zip(self.panels, pictures, strict=True):
            frame.paste(picture, (left, top))
            if top:
                pen.text((left + picture.width / 2, top / 2), panel.name, fill=BLACK, font=font, anchor="mm")
                pen.rectangle((left + picture.width, 0, left + picture.width + GAP - 1, height - STRIP), fill=GREY)
            left += picture.width + GAP
        clock = f"{time_s:.1f} s"
        room = width - 24 - pen.textlength(clock, font=font)
        pen.text((8, height - STRIP + 5), fitted(self.caption, room, font), fill=BLACK, font=font)
        pen.text((width - 8, height - STRIP + 5), clock, fill=BLACK, font=font, anchor="ra")
        return frame


class _Reel:
    """The pictures of a panel by time; the one that is asked for again is drawn once."""

    def __init__(self, panel: Panel, lidar: bool) -> None:
        self._panel, self._lidar = panel, lidar
        self._times = np.array(panel.camera.times_s)
        self._drawn = -1
        self._picture: Image.Image

    def at(self, time_s: float) -> Image.Image:
        number = int(np.searchsorted(self._times, time_s + 1e-6, "right")) - 1
        if number != self._drawn:
            self._drawn, self._picture = number, self._panel.camera.picture(number, self._lidar)
            if number == len(self._times) - 1:
                _draw_outcome(self._picture, self._panel.result, float(self._times[-1]))
        return self._picture


def _draw_outcome(picture: Image.Image, result: EpisodeResult, time_s: float) -> None:
    """Draw the outcome and its time across the top, in the colour that the picture of the paths has for it."""
    colour, _ = STYLES.get(result.outcome, STYLES[None])
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(17)
    pen.rectangle((0, 0, picture.width, BANNER), fill=colour)
    text = fitted(f"{str(result.outcome or 'end').replace('_', ' ')} after {time_s:.1f} s", picture.width - 8, font)
    pen.text((picture.width / 2, BANNER / 2), text, fill=BLACK if colour in (ORANGE, GREY) else WHITE, font=font,
             anchor="mm")  # fmt: skip


def caption_of(seed: int, scenario: str | None) -> str:
    """Return the caption of an episode's film."""
    return ", ".join(part for part in (scenario, f"seed {seed}") if part)


def fitted(text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text, cut at its beginning as far as it is wider than this number of pixels."""
    cut = text
    while len(cut) > 1 and font.getlength(cut) > width:
        cut = "…" + cut[2:]
    return cut
