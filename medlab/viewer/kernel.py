"""The kernel editor of lesson 20: change a 3 x 3 kernel, see a slice, its response and the arithmetic of one pixel."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets as t

from medlab import images
from medlab.viewer.bundle import bundle
from medlab.viewer.page import page

if TYPE_CHECKING:
    import PIL.ImageDraw

HERE = Path(__file__).parent
LIMIT_PIXELS = 512 * 512  # a larger picture shows no more at the size of a page

# name: weights row by row, divisor. The sum of products is divided by the divisor, so that weights stay whole numbers.
PRESETS: dict[str, tuple[list[float], float]] = {
    "identity": ([0, 0, 0, 0, 1, 0, 0, 0, 0], 1),
    "shift": ([0, 0, 0, 0, 0, 1, 0, 0, 0], 1),
    "mean": ([1, 1, 1, 1, 1, 1, 1, 1, 1], 9),
    "Gaussian": ([1, 2, 1, 2, 4, 2, 1, 2, 1], 16),
    "Sobel, along x": ([-1, 0, 1, -2, 0, 2, -1, 0, 1], 1),
    "Sobel, along y": ([-1, -2, -1, 0, 0, 0, 1, 2, 1], 1),
    "Laplacian": ([0, 1, 0, 1, -4, 1, 0, 1, 0], 1),
    "sharpen": ([0, -1, 0, -1, 5, -1, 0, -1, 0], 1),
}

# Colours of responses with negative values, from lowest to highest; 0 is black, so that blue and orange both stand out.
DIVERGING = ((190, 232, 255), (0, 114, 178), (0, 0, 0), (213, 94, 0), (255, 226, 170))


def correlate(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Cross-correlation with (3, 3), zeros around the picture: (H, W) float64. Built by hand in lesson 20."""
    padded = np.pad(picture.astype(np.float64), 1)
    h, w = picture.shape
    moved = (kernel[i, j] * padded[i : i + h, j : j + w] for i in range(3) for j in range(3))
    return np.sum(list(moved), axis=0)


def colours(response: np.ndarray, low: float, high: float) -> np.ndarray:
    """What the response looks like, (H, W, 3) uint8: grey from low to high, or blue, black, orange around 0."""
    if response.min() >= 0:
        share = np.clip((response - low) / (high - low), 0, 1)
        return np.repeat(np.floor(share * 255 + 0.5).astype(np.uint8)[..., None], 3, axis=-1)
    most = np.abs(response).max()
    place = (response / most + 1) * 2  # 0..4, between the five colours
    stops = np.array(DIVERGING, float).T
    return np.stack([np.floor(np.interp(place, range(5), stop) + 0.5) for stop in stops], axis=-1).astype(np.uint8)


class KernelEditor(anywidget.AnyWidget):
    """An interactive figure: a slice, a 3 x 3 kernel that can be changed, and the response, all drawn in the browser.

    Put it last in a cell. It works while the kernel of the notebook is busy, and in an exported page without any.
    """

    _esm = HERE / "kernel.js"
    _css = HERE / "kernel.css"
    _preview = t.Bytes().tag(sync=True)  # the picture, (H, W) float32; page.py decodes what has this name
    _shape: t.List[int] = t.List().tag(sync=True)
    _aspect = t.Float(1.0).tag(sync=True)  # height of a pixel over its width
    _letters: t.List[str] = t.List().tag(sync=True)
    _limits: t.List[float] = t.List().tag(sync=True)  # values of black and white
    _presets: t.List[Any] = t.List().tag(sync=True)
    _diverging: t.List[Any] = t.List([list(colour) for colour in DIVERGING]).tag(sync=True)
    _weights: t.List[float] = t.List().tag(sync=True)  # nine, row by row
    _divisor = t.Float(1.0).tag(sync=True)
    _cursor: t.List[int] = t.List().tag(sync=True)  # row, column
    _alt = t.Unicode().tag(sync=True)

    def __init__(
        self,
        picture: np.ndarray,
        kernel: str | np.ndarray = "Sobel, along x",
        *,
        cursor: Sequence[int] | None = None,
        spacing_mm: tuple[float, float] = (1.0, 1.0),
        letters: tuple[str, str, str, str] = ("", "", "", ""),
    ) -> None:
        """A kernel editor over one slice.

        Args:
            picture: (H, W) numbers; whole numbers make the arithmetic easy to read.
            kernel: the name of a preset, or (3, 3) weights to begin with.
            cursor: row and column of the pixel whose arithmetic is shown first; by default the one in the middle.
            spacing_mm: height and width of a pixel.
            letters: orientation at the left, right, top and bottom edge, such as ("R", "L", "A", "P").

        Raises:
            ValueError: a picture that is not a slice of at most 512 x 512 finite numbers, a kernel that is neither a
                preset nor (3, 3), a cursor outside, a spacing that is not two numbers above 0, or not four letters.
        """
        self.picture = _checked_picture(picture)
        weights, divisor = _weights_of(kernel)
        row, column = cursor if cursor is not None else (n // 2 for n in self.picture.shape)
        if not (0 <= row < self.picture.shape[0] and 0 <= column < self.picture.shape[1]):
            raise ValueError(f"cursor must lie in a picture of {self.picture.shape}, got {(row, column)}")
        spacing = images.checked_spacing(spacing_mm, 2)
        if len(letters) != 4:
            raise ValueError(f"letters must be four, at the left, right, top and bottom edge, got {letters!r}")
        low, high = min(0.0, float(self.picture.min())), float(self.picture.max())
        super().__init__(
            _preview=self.picture.astype("<f4").tobytes(),
            _shape=list(self.picture.shape),
            _aspect=spacing[0] / spacing[1],
            _letters=list(letters),
            _limits=[low, high if high > low else low + 1],
            _presets=[[name, *preset] for name, preset in PRESETS.items()],
            _weights=weights,
            _divisor=divisor,
            _cursor=[int(row), int(column)],
        )
        self._alt = self.alt

    @property
    def kernel(self) -> np.ndarray:
        """The kernel as it stands in the browser, (3, 3) float64, divided by its divisor."""
        return np.reshape(self._weights, (3, 3)) / self._divisor

    @kernel.setter
    def kernel(self, kernel: str | np.ndarray) -> None:
        self._weights, self._divisor = _weights_of(kernel)

    def response(self) -> np.ndarray:
        """What the editor shows on the right, (H, W) float64: cross-correlation, zeros around the picture."""
        return correlate(self.picture, self.kernel)

    @property
    def alt(self) -> str:
        """One line that says what is shown."""
        same = (name for name, preset in PRESETS.items() if preset == (self._weights, self._divisor))
        rows = "; ".join(" ".join(f"{w:g}" for w in self._weights[i : i + 3]) for i in (0, 3, 6))
        over = "" if self._divisor == 1 else f", divided by {self._divisor:g}"
        h, w = self._shape
        return (
            f"Kernel editor: a slice of {h} x {w} pixels, the kernel [{rows}]{over} ({next(same, 'own')}), and the "
            f"response; the arithmetic is shown for row {self._cursor[0]}, column {self._cursor[1]}."
        )

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and what stands in for it where there is none: a picture and a line of text."""
        return bundle(self, still_png(self), lambda: page_html(self), height_px=560)


def _checked_picture(picture: np.ndarray) -> np.ndarray:
    picture = np.asarray(picture)
    if picture.ndim != 2 or not 0 < picture.size <= LIMIT_PIXELS:
        raise ValueError(f"picture must be one slice (H, W) of at most 512 x 512 pixels, got shape {picture.shape}")
    if picture.dtype.kind not in "biuf" or not np.isfinite(picture).all():
        raise ValueError(f"picture must hold finite real numbers, got {picture.dtype} with others")
    return picture.astype(np.float32)


def _weights_of(kernel: str | np.ndarray) -> tuple[list[float], float]:
    """Nine weights and a divisor."""
    if isinstance(kernel, str):
        if kernel not in PRESETS:
            raise ValueError(f"kernel must be (3, 3) numbers or one of {', '.join(PRESETS)}, got {kernel!r}")
        weights, divisor = PRESETS[kernel]
        return [float(weight) for weight in weights], float(divisor)
    kernel = np.asarray(kernel, float)
    if kernel.shape != (3, 3) or not np.isfinite(kernel).all():
        raise ValueError(f"kernel must be (3, 3) finite numbers, got shape {kernel.shape}")
    return kernel.ravel().tolist(), 1.0


def page_html(editor: KernelEditor) -> str:
    """The editor as one page that needs neither kernel nor network."""
    state = {name: getattr(editor, name) for name in editor.trait_names() if name in _STATE}
    state["_preview"] = base64.b64encode(editor._preview).decode()
    return page(editor.alt, {"state": state, "chunks": []}, "kernel")


_STATE = {
    "_shape",
    "_aspect",
    "_letters",
    "_limits",
    "_presets",
    "_diverging",
    "_weights",
    "_divisor",
    "_cursor",
    "_alt",
}


# The picture that stands in for the editor ---------------------------------------------------------------------------

PANEL, MIDDLE, MARK = 250, 260, (240, 228, 66)  # widths in pixels; the yellow of the window, of Okabe and Ito


def still_png(editor: KernelEditor) -> bytes:
    """Slice, kernel and response side by side as a PNG, as the editor shows them."""
    from PIL import Image, ImageDraw, ImageFont

    low, high = editor._limits
    h, w = editor.picture.shape
    scale = min(PANEL / w, 1.2 * PANEL / (h * editor._aspect))
    size = max(1, round(w * scale)), max(1, round(h * scale * editor._aspect))
    sheet = Image.new("RGB", (2 * size[0] + MIDDLE, max(size[1], 290)), "black")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for reach, left, values in ((1, 0, editor.picture), (0, size[0] + MIDDLE, editor.response())):
        panel = Image.fromarray(colours(values, low, high)).resize(size, Image.Resampling.NEAREST)
        sheet.paste(panel, (left, 0))
        _draw_mark(draw, editor, reach, left, size)
        _draw_letters(draw, font, editor, left, size)
    _draw_kernel(draw, font, editor, size[0] + MIDDLE // 2)
    packed = io.BytesIO()
    sheet.quantize(192, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(packed, "png", optimize=True)
    return packed.getvalue()


def _draw_mark(draw: PIL.ImageDraw.ImageDraw, editor: KernelEditor, reach: int, left: int, size: Any) -> None:
    """A box around the pixel under the cursor and `reach` pixels to each side."""
    (row, column), (h, w) = editor._cursor, editor.picture.shape
    across, down = size[0] / w, size[1] / h
    near = (left + (column - reach) * across, (row - reach) * down)
    far = (left + (column + reach + 1) * across, (row + reach + 1) * down)
    draw.rectangle((*near, *far), outline=MARK, width=2)


def _draw_letters(draw: PIL.ImageDraw.ImageDraw, font: Any, editor: KernelEditor, left: int, size: Any) -> None:
    w, h = size
    places = ((4, h / 2, "lm"), (w - 4, h / 2, "rm"), (w / 2, 3, "mt"), (w / 2, h - 3, "mb"))
    for letter, (x, y, anchor) in zip(editor._letters, places, strict=True):
        draw.text((left + x, y), letter, "white", font, anchor, stroke_width=2, stroke_fill="black")


def _draw_kernel(draw: PIL.ImageDraw.ImageDraw, font: Any, editor: KernelEditor, centre: int) -> None:
    """The nine weights in boxes, and below them what they make of the pixel under the cursor."""
    cell, (row, column) = 46, editor._cursor
    window = np.pad(editor.picture, 1)[row : row + 3, column : column + 3].ravel()
    lines = [f"row {row}, column {column}:"]
    for first in (0, 3, 6):
        for place in range(first, first + 3):
            x, y = centre + (place % 3 - 1.5) * cell, 14 + place // 3 * cell
            draw.rectangle((x, y, x + cell, y + cell), outline="gray")
            draw.text((x + cell / 2, y + cell / 2), f"{editor._weights[place]:.4g}", "white", font, "mm")
        terms = [f"{editor._weights[place]:.3g} · {window[place]:.3g}" for place in range(first, first + 3)]
        lines.append(("" if first == 0 else "+ ") + " + ".join(terms))
    value = float(editor.response()[row, column])
    over = "" if editor._divisor == 1 else f"{value * editor._divisor:.4g} / {editor._divisor:.4g} = "
    for number, line in enumerate([*lines, f"= {over}{value:.4g}"]):
        draw.text((centre, 180 + 22 * number), line, MARK if number == 4 else "white", font, "mm")
