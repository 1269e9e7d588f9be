"""The playground of lesson 40: change a mask on a grid, and see what every metric makes of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets as t

from medlab import metrics
from medlab.viewer.bundle import bundle
from medlab.viewer.page import page

if TYPE_CHECKING:
    import PIL.ImageDraw

HERE = Path(__file__).parent
LIMIT_PIXELS = 64 * 64  # every pair of surface pixels is measured at every step of the pointer

BOTH, ONLY, MISSED = (0, 158, 115), (230, 159, 0), (0, 114, 178)  # Okabe and Ito, as in the script


def presets(truth: np.ndarray) -> dict[str, np.ndarray]:
    """Predictions to start from, made of the truth, (H, W) bool: what each of them does to it is its name."""
    from scipy import ndimage

    parts, count = ndimage.label(truth, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=2)[1:]
    moved = np.zeros_like(truth)
    moved[:, 2:] = truth[:, :-2]
    made = {
        "equal": truth.copy(),
        "moved by two pixels": moved,
        "grown by one pixel": ndimage.binary_dilation(truth),
        "shrunk by one pixel": ndimage.binary_erosion(truth),
        "a stray pixel far away": truth | _far_spot(truth, 1),
        "a spot of 3 x 3 far away": truth | _far_spot(truth, 3),
    }
    if count > 1:
        made["small part missed"] = parts == 1 + sizes.argmax()
    made["half missed"] = truth & (np.cumsum(truth.any(0)) <= truth.any(0).sum() / 2)
    made["empty"] = np.zeros_like(truth)
    return made


def _far_spot(truth: np.ndarray, size: int) -> np.ndarray:
    """A square as far from the truth as it can lie."""
    from scipy import ndimage

    spot = np.zeros_like(truth)
    size = min(size, *truth.shape)
    far = ndimage.distance_transform_edt(~truth) if truth.any() else np.zeros(truth.shape)
    inner = far[: truth.shape[0] - size + 1, : truth.shape[1] - size + 1]
    row, column = np.unravel_index(inner.argmax(), inner.shape)
    spot[row : row + size, column : column + size] = True
    return spot


class Playground(anywidget.AnyWidget):
    """An interactive figure: a predicted mask over the true one, and nine metrics that follow every change of it.

    Put it last in a cell. Mask and metrics are drawn and computed in the browser, so it works while the kernel of the
    notebook is busy, and in an exported page without any.
    """

    _esm = HERE / "playground.js"
    _css = HERE / "playground.css"
    _shape: t.List[int] = t.List().tag(sync=True)
    _truth = t.Unicode().tag(sync=True)  # a 0 or 1 for each pixel, row by row
    _prediction = t.Unicode().tag(sync=True)
    _presets: t.List[Any] = t.List().tag(sync=True)
    _spacing: t.List[float] = t.List().tag(sync=True)  # height and width of a pixel in mm
    _tolerance = t.Float(1.0).tag(sync=True)
    _cursor: t.List[int] = t.List().tag(sync=True)  # row, column, where the browser begins
    _alt = t.Unicode().tag(sync=True)

    def __init__(
        self,
        truth: np.ndarray,
        prediction: str | np.ndarray = "moved by two pixels",
        *,
        spacing_mm: Sequence[float] = (1.0, 1.0),
        tolerance_mm: float = 1.0,
    ) -> None:
        """A playground over one true mask.

        Args:
            truth: (H, W) bool, of at most 64 x 64 pixels.
            prediction: the name of one of `presets(truth)`, or a mask like the truth, to begin with.
            spacing_mm: height and width of a pixel.
            tolerance_mm: of the surface Dice.

        Raises:
            TypeError: a mask that is not bool.
            ValueError: a truth that is not 2D or too large, a prediction that is neither a preset nor of the truth's
                shape, or a spacing or a tolerance that is not possible.
        """
        truth = np.asarray(truth)
        if truth.ndim != 2 or not 0 < truth.size <= LIMIT_PIXELS:
            raise ValueError(f"truth must be one mask (H, W) of at most 64 x 64 pixels, got shape {truth.shape}")
        self.truth = _checked(truth, "truth")
        made = presets(self.truth)
        mask = self._mask_of(prediction, made)
        metrics.evaluate(mask, self.truth, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm)  # refuses what can't be
        row, column = np.argwhere(mask)[0].tolist() if mask.any() else (0, 0)
        super().__init__(
            _shape=list(self.truth.shape),
            _truth=_text(self.truth),
            _prediction=_text(mask),
            _presets=[[name, _text(preset)] for name, preset in made.items()],
            _spacing=[float(length) for length in spacing_mm],
            _tolerance=float(tolerance_mm),
            _cursor=[row, column],
        )
        self._alt = self.alt

    def _mask_of(self, prediction: str | np.ndarray, made: dict[str, np.ndarray]) -> np.ndarray:
        if isinstance(prediction, str):
            if prediction not in made:
                raise ValueError(f"prediction must be a mask or one of {', '.join(made)}, got {prediction!r}")
            return made[prediction]
        mask = _checked(prediction, "prediction")
        if mask.shape != self.truth.shape:
            raise ValueError(f"prediction must have the truth's shape {self.truth.shape}, got {mask.shape}")
        return mask

    @property
    def prediction(self) -> np.ndarray:
        """The mask as it stands in the browser, (H, W) bool."""
        return np.array([pixel == "1" for pixel in self._prediction]).reshape(self._shape)

    @prediction.setter
    def prediction(self, prediction: str | np.ndarray) -> None:
        self._prediction = _text(self._mask_of(prediction, presets(self.truth)))

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Height and width of a pixel, as set in the browser."""
        return self._spacing[0], self._spacing[1]

    @property
    def tolerance_mm(self) -> float:
        """The tolerance of the surface Dice, as set in the browser."""
        return self._tolerance

    def scores(self) -> dict[str, float]:
        """The nine metrics of what stands in the browser, from `medlab.metrics`."""
        options: Any = {"spacing_mm": self.spacing_mm, "tolerance_mm": self.tolerance_mm, "label_names": {1: "mask"}}
        return metrics.evaluate(self.prediction, self.truth, **options)["mask"]

    @property
    def alt(self) -> str:
        """One line that says what is shown."""
        same = (name for name, mask in self._presets if mask == self._prediction)
        s = self.scores()
        return (
            f"Metrics playground: a predicted mask of {self._prediction.count('1')} pixels over a true one of "
            f"{self._truth.count('1')}, on {self._shape[0]} x {self._shape[1]} pixels ({next(same, 'own')}); "
            f"Dice {s['dice']:.3f}, IoU {s['iou']:.3f}, precision {s['precision']:.3f}, recall {s['recall']:.3f}, "
            f"area error {1000 * s['volume_error_ml']:+.1f} mm², Hausdorff distance {s['hausdorff_mm']:.2f} mm, "
            f"HD95 {s['hd95_mm']:.2f} mm, average surface distance {s['average_surface_distance_mm']:.2f} mm, "
            f"surface Dice {s['surface_dice']:.3f} at {self.tolerance_mm:g} mm."
        )

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and what stands in for it where there is none: a picture and a line of text."""
        return bundle(self, still_png(self), lambda: page_html(self))


def _checked(mask: np.ndarray, name: str) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.dtype != np.bool_:
        raise TypeError(f"{name} must be a bool mask, got {mask.dtype}: compare first, as in `labels == 1`")
    return mask


def _text(mask: np.ndarray) -> str:
    return "".join("1" if pixel else "0" for pixel in mask.ravel())


def page_html(playground: Playground) -> str:
    """The playground as one page that needs neither kernel nor network."""
    state = {name: getattr(playground, name) for name in _STATE} | {"_preview": ""}
    return page(playground.alt, {"state": state, "chunks": []}, "playground")


_STATE = ("_shape", "_truth", "_prediction", "_presets", "_spacing", "_tolerance", "_cursor", "_alt")


# The picture that stands in for the playground ------------------------------------------------------------------------

GRID, TABLE = (520, 430), 330  # most that the grid takes, and the width of the table, in pixels
NAMES = {  # of the metrics in the table: name, unit
    "dice": ("Dice", ""),
    "iou": ("IoU", ""),
    "precision": ("precision", ""),
    "recall": ("recall", ""),
    "surface_dice": ("surface Dice", ""),
    "area": ("area error", "mm²"),
    "hausdorff_mm": ("Hausdorff", "mm"),
    "hd95_mm": ("HD95", "mm"),
    "average_surface_distance_mm": ("average distance", "mm"),
}


def still_png(playground: Playground) -> bytes:
    """Grid and metrics side by side as a PNG, as the playground shows them."""
    from PIL import Image, ImageDraw, ImageFont

    (rows, columns), (height, width) = playground._shape, playground.spacing_mm
    scale = min(GRID[0] / (columns * width), GRID[1] / (rows * height))
    across, down = scale * width, scale * height
    sheet = Image.new("RGB", (round(columns * across) + TABLE, max(round(rows * down) + 34, 300)), "white")
    draw = ImageDraw.Draw(sheet)
    _draw_cells(draw, playground, across, down)
    _draw_outline(draw, playground.truth, across, down)
    _draw_arrow(draw, playground, across, down)
    _draw_key(draw, ImageFont.load_default(12), round(rows * down) + 10)
    _draw_table(draw, ImageFont.load_default(14), playground, round(columns * across) + 20)
    packed = io.BytesIO()
    sheet.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(packed, "png", optimize=True)
    return packed.getvalue()


def _draw_cells(draw: PIL.ImageDraw.ImageDraw, playground: Playground, across: float, down: float) -> None:
    colours = np.array([(255, 255, 255), MISSED, ONLY, BOTH])[2 * playground.prediction + playground.truth]
    for (row, column), true in np.ndenumerate(playground.truth):
        place = (column * across, row * down, (column + 1) * across, (row + 1) * down)
        draw.rectangle(place, tuple(colours[row, column].tolist()), (230, 230, 230))
        if true != playground.prediction[row, column]:
            x, y, arm = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2, min(across, down) / 4
            ink = "white" if true else "black"
            draw.line((x - arm, y, x + arm, y), ink)  # a minus; with a second line a plus
            if not true:
                draw.line((x, y - arm, x, y + arm), ink)


def _draw_outline(draw: PIL.ImageDraw.ImageDraw, mask: np.ndarray, across: float, down: float) -> None:
    """Lines between pixels of the mask and pixels outside."""
    padded = np.pad(mask, 1)
    for row, column in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]).tolist():
        draw.line((column * across, row * down, (column + 1) * across, row * down), "black", 3)
    for row, column in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]).tolist():
        draw.line((column * across, row * down, column * across, (row + 1) * down), "black", 3)


def _draw_arrow(draw: PIL.ImageDraw.ImageDraw, playground: Playground, across: float, down: float) -> None:
    """From the surface pixel that is farthest from the other surface to the nearest one there."""
    ends = _longest(playground)
    if ends is None:
        return
    line = [((column + 0.5) * across, (row + 0.5) * down) for row, column in ends]
    for colour, width in (("white", 5), ("black", 2)):
        draw.line(line, colour, width)
        for x, y in line:
            draw.ellipse((x - width - 1, y - width - 1, x + width + 1, y + width + 1), colour)


def _longest(playground: Playground) -> tuple[np.ndarray, np.ndarray] | None:
    from scipy import ndimage
    from scipy.spatial import cKDTree

    masks = (playground.prediction, playground.truth)
    if not all(mask.any() for mask in masks):
        return None
    a, b = (np.argwhere(mask & ~ndimage.binary_erosion(mask)) for mask in masks)
    found = []
    for start, end in ((a, b), (b, a)):
        distances, nearest = cKDTree(end * playground.spacing_mm).query(start * playground.spacing_mm)
        found.append((distances.max(), start[distances.argmax()], end[nearest[distances.argmax()]]))
    far, start, end = max(found, key=lambda each: each[0])
    return (start, end) if far > 0 else None


def _draw_key(draw: PIL.ImageDraw.ImageDraw, font: Any, top: int) -> None:
    left = 2
    for colour, name in ((BOTH, "both"), (ONLY, "+ only predicted"), (MISSED, "- missed"), (None, "truth")):
        draw.rectangle(
            (left, top, left + 14, top + 14), colour or "white", None if colour else "black", 1 if colour else 3
        )
        draw.text((left + 20, top + 7), name, "black", font, "lm")
        left += 36 + round(draw.textlength(name, font))
    draw.line((left, top + 7, left + 20, top + 7), "black", 2)
    draw.text((left + 26, top + 7), "Hausdorff distance", "black", font, "lm")


def _draw_table(draw: PIL.ImageDraw.ImageDraw, font: Any, playground: Playground, left: int) -> None:
    """The metrics, one a row: name, a bar, the number."""
    scores = playground.scores()
    scores["area"] = 1000 * scores["volume_error_ml"]
    far = float(np.hypot(*np.multiply(playground._shape, playground.spacing_mm)))  # the bar of a distance ends here
    for number, (key, (name, unit)) in enumerate(NAMES.items()):
        y, value = 22 + 30 * number, scores[key]
        draw.text((left - 10, y), name, "black", font, "lm")
        if key != "area":
            share = min(value / far if unit else value, 1)
            draw.rectangle((left + 110, y - 6, left + 200, y + 6), (225, 225, 225))
            if share > 0:
                colour = (120, 120, 120) if unit else MISSED
                draw.rectangle((left + 110, y - 6, left + 110 + 90 * share, y + 6), colour)
        digits = {"": ".3f", "mm": ".2f", "mm²": "+.1f"}[unit]
        shown = f"{value:{digits}}" if np.isfinite(value) else "infinite"
        draw.text((left + 262, y), shown, "black", font, "rm")
        draw.text((left + 266, y), unit.rstrip("²"), "black", font, "lm")
        if unit == "mm²":  # the font has no raised 2
            draw.text((left + 290, y - 4), "2", "black", font.font_variant(size=9), "lm")
