"""Colours follow the escape times without jumps, and a PNG file is whole or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guthi.errors import UsageError
from guthi_mandelbrot import Region, View, colours, picture, render, write_png

TIMES = render(View(Region(-2.0, 0.6, -1.25, 1.25), 80, 60, 200))


def test_the_set_is_near_black_and_the_rest_is_coloured() -> None:
    pixels = colours(TIMES)
    assert pixels.shape == (60, 80, 3)
    assert pixels.dtype == np.uint8
    assert {tuple(pixel) for pixel in pixels[TIMES == 0]} == {(4, 4, 10)}
    assert len(np.unique(pixels[TIMES > 0], axis=0)) > 500


def test_equal_times_have_equal_colours() -> None:
    pixels = colours(TIMES)
    assert np.array_equal(pixels, pixels[::-1])  # the set is symmetric about the real axis, and so is this region


def test_neighbouring_times_have_neighbouring_colours() -> None:
    times = np.arange(256 * 50, 256 * 400, dtype=np.uint32).reshape(1, -1)
    steps = np.abs(np.diff(colours(times).astype(int), axis=1))
    assert steps.max() <= 3


@pytest.mark.parametrize("value", [0, 1, 2**32 - 1])
def test_pictures_of_one_time_only(value: int) -> None:
    pixels = colours(np.full((3, 4), value, np.uint32))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 1


def test_a_png_holds_exactly_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_text("an older file")
    write_png(colours(TIMES), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), colours(TIMES))
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    path.write_text("an older file")

    def disk_full(_image: Image.Image, file: Path, **_options: Any) -> None:
        file.write_bytes(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(UsageError, match="No space left on device; choose another output file"):
        write_png(colours(TIMES), path)
    assert path.read_text() == "an older file"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("missing/a.png", "does not exist; make it"), ("a.jpeg", "end it in .png"), ("folder.png", "is a folder")],
)
def test_bad_outputs_are_refused_with_the_mend(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=complaint):
        picture.check_output(tmp_path / name)


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture.os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(UsageError, match="may not be written"):
        picture.check_output(tmp_path / "a.png")
