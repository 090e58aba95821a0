"""Film files: their kind, speed and last frame."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from dreamer_exp.evaluation.video.write import GIF, MP4, film_suffix, write_film
from tests.evaluation.video.reading import read_film

PICTURES = [Image.linear_gradient("L").resize((60, 40)).rotate(turn).convert("RGB") for turn in (0, 180, 90)]


def test_a_gif_runs_in_real_time_and_holds_its_last_frame(tmp_path: Path) -> None:
    write_film(tmp_path / "film.gif", PICTURES, 0.1)
    assert read_film(tmp_path / "film.gif") == (3, (60, 40), 10.0)


def test_an_mp4_runs_in_real_time_and_holds_its_last_frame(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    assert film_suffix() == MP4
    write_film(tmp_path / "film.mp4", PICTURES, 0.1)
    assert read_film(tmp_path / "film.mp4") == (3, (60, 40), 10.0)


def test_without_imageio_ffmpeg_films_are_gifs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)  # its import fails
    film_suffix.cache_clear()
    try:
        assert film_suffix() == GIF
    finally:
        film_suffix.cache_clear()


class Interrupted(list[Image.Image]):
    """Frames whose second one is never drawn."""

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        if number == 1:
            raise KeyboardInterrupt
        return super().__getitem__(number)


@pytest.mark.parametrize("suffix", sorted({GIF, film_suffix()}))
def test_an_interrupted_film_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / f"film{suffix}", Interrupted(PICTURES), 0.1)
    assert list(tmp_path.iterdir()) == []
