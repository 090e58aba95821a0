"""The file of a film: MP4 where imageio-ffmpeg is installed (the extra `video`), else GIF."""

import math
from functools import cache
from pathlib import Path
from typing import Protocol

from PIL import Image

from dreamer_exp.rundir.atomic import replace_file

MP4, GIF = ".mp4", ".gif"
COLOURS = 64  # of a GIF
STILL_MS = 1500  # duration of the last frame
MIN_MS = 20  # browsers slow down shorter frames of a GIF


@cache
def film_suffix() -> str:
    """Return the ending of the films that can be written here: .mp4 or .gif."""
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # the package is missing, or has no ffmpeg for this machine
        return GIF
    return MP4


class Frames(Protocol):
    """One picture or more, of equal and even size."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Image.Image: ...


def write_film(path: Path, frames: Frames, frame_s: float) -> None:
    """Write a film as MP4 or GIF, by the ending of the path; the last frame stands still.

    Args:
        path: the file.
        frames: are read one after the other.
        frame_s: seconds between them.
    """
    with replace_file(path) as temporary:
        if path.suffix == MP4:
            _write_mp4(temporary, frames, frame_s)
        else:
            _write_gif(temporary, frames, frame_s)


def _write_mp4(path: Path, frames: Frames, frame_s: float) -> None:
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(
        str(path),
        frames[0].size,
        fps=1 / frame_s,
        codec="libx264",
        quality=None,
        macro_block_size=2,
        output_params=["-crf", "20", "-tune", "animation", "-movflags", "+faststart", "-f", "mp4"],
    )
    writer.send(None)  # starts ffmpeg
    try:
        for number in range(len(frames)):
            writer.send(frames[number].tobytes())
        still = frames[len(frames) - 1].tobytes()
        for _ in range(math.ceil(STILL_MS / 1000 / frame_s)):
            writer.send(still)
    finally:
        writer.close()


def _write_gif(path: Path, frames: Frames, frame_s: float) -> None:
    """Write all frames with the same colours, those of the first and the last: only what moves is then stored."""
    first, last = frames[0], frames[len(frames) - 1]
    ends = Image.new("RGB", (first.width, 2 * first.height))
    ends.paste(first)
    ends.paste(last, (0, first.height))
    palette = ends.quantize(COLOURS, dither=Image.Dither.NONE)
    pictures = (frames[number].quantize(palette=palette, dither=Image.Dither.NONE) for number in range(len(frames)))
    durations = [max(MIN_MS, round(1000 * frame_s))] * (len(frames) - 1) + [STILL_MS]
    next(pictures).save(path, "GIF", save_all=True, append_images=pictures, duration=durations, loop=0)
