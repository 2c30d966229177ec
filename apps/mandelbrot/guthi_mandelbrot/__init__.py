"""The public face of the app: the plugin that computes, and the functions that ask for a picture."""

from guthi_mandelbrot.kernel import STEP, EscapeTimes, Region, View, render, render_band
from guthi_mandelbrot.picture import colours, write_png
from guthi_mandelbrot.plugin import FUNCTION, MandelbrotPlugin, Share, render_distributed

__all__ = [
    "FUNCTION",
    "STEP",
    "EscapeTimes",
    "MandelbrotPlugin",
    "Region",
    "Share",
    "View",
    "colours",
    "render",
    "render_band",
    "render_distributed",
    "write_png",
]
