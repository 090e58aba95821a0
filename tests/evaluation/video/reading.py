"""Reading of films."""

from pathlib import Path

from PIL import Image

from dreamer_exp.evaluation.video.write import STILL_MS


def read_film(path: Path) -> tuple[int, tuple[int, int], float]:
    """Return the number of frames without the standing one's repetitions, the size, and frames per second."""
    if path.suffix == ".mp4":
        return _read_mp4(path)
    with Image.open(path) as gif:
        durations = [gif.info["duration"] for frame in range(gif.n_frames) if gif.seek(frame) is None]  # type: ignore[attr-defined]
        assert durations[-1] == STILL_MS
        return len(durations), gif.size, 1000 / durations[0]


def _read_mp4(path: Path) -> tuple[int, tuple[int, int], float]:
    import imageio_ffmpeg

    about, *frames = imageio_ffmpeg.read_frames(str(path))
    still = round(STILL_MS / 1000 * about["fps"] + 0.49)
    return len(frames) - still, about["size"], about["fps"]
