"""How escape times become colours, and colours a PNG file that is either whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from guthi.errors import UsageError
from guthi_mandelbrot.kernel import EscapeTimes

__all__ = ["Pixels", "check_output", "colours", "write_png"]

Pixels: TypeAlias = npt.NDArray[np.uint8]

_INSIDE: Final = (4, 4, 10)
_STOPS: Final = (  # where on the colour circle (0 to 1) which red, green and blue stands
    (0.00, (12, 10, 44)),
    (0.18, (38, 62, 148)),
    (0.36, (112, 196, 224)),
    (0.50, (255, 250, 236)),
    (0.64, (250, 178, 62)),
    (0.80, (186, 46, 48)),
    (0.92, (54, 14, 50)),
    (1.00, (12, 10, 44)),
)
_CIRCLE_COLOURS: Final = 4096
_START: Final = 0.08  # the place on the circle of the picture's smallest escape time
_CYCLES_PER_DOUBLING: Final = 0.75


def colours(times: EscapeTimes) -> Pixels:
    """Red, green and blue of each pixel: an array of shape (height, width, 3).

    The colour circle is walked by the logarithm of the escape time, starting from the picture's smallest, so that
    the quiet outside and the dense edge of any region both show their shape. Points of the set are near black.
    """
    escaped = times > 0
    smallest = times[escaped].min() if escaped.any() else 1
    doublings = np.log2(np.maximum(times, smallest) / smallest)
    places = ((_START + _CYCLES_PER_DOUBLING * doublings) % 1.0 * _CIRCLE_COLOURS).astype(np.intp)
    pixels: Pixels = _colour_circle()[places]
    pixels[~escaped] = _INSIDE
    return pixels


def _colour_circle() -> Pixels:
    """The stops joined by smooth steps (3t² - 2t³), which leave no visible edge at a stop."""
    stops = np.array([stop for stop, _ in _STOPS])
    shades = np.array([shade for _, shade in _STOPS], float)
    place = np.arange(_CIRCLE_COLOURS) / _CIRCLE_COLOURS
    before = np.searchsorted(stops, place, "right") - 1
    t = (place - stops[before]) / (stops[before + 1] - stops[before])
    weight = (t * t * (3 - 2 * t))[:, np.newaxis]
    mixed: npt.NDArray[np.float64] = shades[before] * (1 - weight) + shades[before + 1] * weight
    return np.rint(mixed).astype(np.uint8)


def check_output(path: Path) -> None:
    """Raise UsageError unless a PNG can be put at `path`; to be called before a long computation."""
    folder = path.parent
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is not a PNG file name; end it in .png")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if not folder.is_dir():
        raise UsageError(f"the folder {folder} does not exist; make it, or choose another output file")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"the folder {folder} may not be written; choose another output file")


def write_png(pixels: Pixels, path: Path) -> None:
    """Write `pixels` as a PNG; an older file at `path` is replaced only when the new one is complete.

    Raises UsageError when the file cannot be written.
    """
    check_output(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        Image.fromarray(pixels).save(unfinished, format="PNG")
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}; choose another output file") from error
    finally:
        unfinished.unlink(missing_ok=True)
