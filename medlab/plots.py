"""Figures for the lessons: small pictures that carry their description."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from medlab.train import History

PNG_LIMIT_BYTES = 100_000  # the style guide's limit for one stored figure
_SHARP_DPI, _COARSE_DPI = 144, 40  # the first stays sharp on a screen with two physical pixels to one of the page's
_PAGE_DPI = 90  # pixels of the page to one inch of the figure

# Three of the eight colours that stay apart for colour-blind readers. Source: Okabe and Ito 2008.
SKY, BLUE, VERMILION = "#56b4e9", "#0072b2", "#d55e00"


def show(figure: Figure, *, alt: str) -> None:
    """Display a figure as a small PNG together with its description, and close it.

    The description is stored twice: as ``metadata["image/png"]["alt"]``, where page makers look for alt text, and as
    the output's ``text/plain``, which is what a terminal shows and what the notebook tests compare.

    Args:
        figure: A matplotlib figure; it is closed in any case.
        alt: What somebody who can't see the figure needs to know, in one or two sentences.

    Raises:
        ValueError: The description is empty, or the picture can't be made smaller than 100 KB.
    """
    import matplotlib.pyplot as plt
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    try:
        if not alt.strip():
            raise ValueError("alt must describe the figure in a sentence or two, got an empty text")
        png, width = _small_png(figure)
    finally:
        plt.close(figure)
    if not InteractiveShell.initialized():  # a plain script has nowhere to put a picture
        print(alt)
        return
    data = {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt, "width": width}})


def _small_png(figure: Figure) -> tuple[bytes, int]:
    """Draw a figure as sharply as the size limit allows: the PNG, and its width in pixels of the page."""
    dpi = float(_SHARP_DPI)
    while True:
        picture = _draw(figure, dpi)
        width = round(picture.width * _PAGE_DPI / dpi)
        for fewer_colours in (False, True):
            png = _packed(_with_256_colours(picture) if fewer_colours else picture)
            if len(png) <= PNG_LIMIT_BYTES:
                return png, width
        if dpi <= _COARSE_DPI:
            raise ValueError(
                f"the figure still takes {len(png) / 1000:.0f} KB at {dpi:.0f} dots per inch, the limit is "
                f"{PNG_LIMIT_BYTES / 1000:.0f} KB: draw fewer panels or a smaller figure"
            )
        dpi = max(_COARSE_DPI, 0.95 * dpi * (PNG_LIMIT_BYTES / len(png)) ** 0.5)


def _draw(figure: Figure, dpi: float) -> Image.Image:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, bbox_inches="tight")
    with Image.open(drawn) as picture:
        opaque = Image.new("RGBA", picture.size, "white")
        opaque.alpha_composite(picture.convert("RGBA"))
    return opaque.convert("RGB")


def _with_256_colours(picture: Image.Image) -> Image.Image:
    """64 neutral greys, and 192 colours of an octree, which keeps the rare ones that labels have."""
    from scipy.spatial import cKDTree

    colours, where = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_inverse=True)
    palette = np.repeat(np.linspace(0, 255, 64).round()[:, None], 3, axis=1)  # (256, 3) at most
    coloured = colours[np.ptp(colours, axis=1) > 8]
    if len(coloured):
        octree = Image.fromarray(coloured[None]).quantize(192, Image.Quantize.FASTOCTREE).getpalette() or []
        palette = np.concatenate([palette, np.reshape(octree, (-1, 3))])
    nearest = cKDTree(palette).query(colours)[1].astype(np.uint8)
    quantised = Image.fromarray(nearest[where].reshape(picture.height, picture.width))
    quantised.putpalette(palette.astype(np.uint8).tobytes())
    return quantised


def _packed(picture: Image.Image) -> bytes:
    packed = io.BytesIO()
    picture.save(packed, format="png", compress_level=9)
    return packed.getvalue()


def learning_curve(history: History) -> Figure:
    """The loss of every step and, beside it, the validation Dice.

    Args:
        history: What `train.fit` returns.

    Raises:
        ValueError: The history is empty.
    """
    import matplotlib.pyplot as plt

    if not history.losses:
        raise ValueError("history must hold at least one step, got none: train first")
    panels = 2 if history.validation_steps else 1
    figure, axes = plt.subplots(1, panels, figsize=(4 * panels, 3), squeeze=False)
    _draw_loss(axes[0, 0], history)
    if history.validation_steps:
        _draw_validation(axes[0, 1], history)
    for ax in axes.flat:
        ax.set(xlabel="training step", xlim=(0, len(history.losses) * 1.03))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    figure.tight_layout()
    return figure


def _draw_loss(ax: Axes, history: History) -> None:
    """Every batch thinly, and a running mean over 5 % of the steps, which shows the trend in the scatter."""
    steps = np.arange(1, len(history.losses) + 1)
    ax.plot(steps, history.losses, color=SKY, linewidth=0.8, alpha=0.7, label="each batch")
    width = len(steps) // 20
    if width > 1:
        smooth = np.convolve(history.losses, np.ones(width) / width, mode="valid")
        middle = steps[: len(smooth)] + (width - 1) / 2
        ax.plot(middle, smooth, color=BLUE, linewidth=1.8, label=f"mean of {width} batches")
        ax.legend(frameon=False)
    ax.set(ylabel="loss", title="Training")
    ax.set_ylim(bottom=0)


def _draw_validation(ax: Axes, history: History) -> None:
    """Every validation, and a mark where the kept model was made."""
    ax.plot(history.validation_steps, history.validation_dice, "o-", color=BLUE, markersize=4, linewidth=1.5)
    best = f"best: {history.best_dice:.3f}"
    ax.plot(history.best_step, history.best_dice, "D", color=VERMILION, markersize=8, label=best)
    ax.legend(frameon=False, loc="lower right")
    ax.set(ylabel="mean Dice", title="Validation", ylim=(0, 1))


_Curves = dict[str, tuple[np.ndarray, np.ndarray]]  # steps and values by name


class LiveCurve:
    """A learning curve that grows in the notebook while a network trains, and takes under 2 % of the time for it.

    ``train.fit(..., watch=plots.LiveCurve(steps))`` draws the loss and the validation score; a loop written by hand
    calls `draw` with what it has. It shows itself when it is first drawn. What a page without a kernel shows is its
    title alone: draw `learning_curve` afterwards for a picture that stays.

    Args:
        length: how many steps or rounds the training has; the right end of the axis.
        title: a line above the curve, such as what is being trained.

    Raises:
        ValueError: the length is below 1.
    """

    SHARE = 0.02  # of the time, at most

    def __init__(self, length: int, title: str = "Learning curve") -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1 step or round, got {length}")
        import ipywidgets

        self.length, self.title = length, title
        self._widget = ipywidgets.HTML()
        self._began, self._spent, self._shown = perf_counter(), 0.0, False

    def __call__(self, history: History) -> None:
        """Draw what `train.fit` has so far: the mean loss of groups of steps, and every validation."""

        def curves() -> _Curves:
            width = max(1, self.length // 150)
            groups = np.array(history.losses[: len(history.losses) // width * width]).reshape(-1, width)
            drawn = {"loss": (width * np.arange(1, len(groups) + 1), groups.mean(axis=1))}
            if history.validation_steps:
                drawn["validation"] = (np.array(history.validation_steps), np.array(history.validation_dice))
            return drawn

        self._draw_if_time(curves, last=len(history.losses) >= self.length)

    def draw(self, **values: Sequence[float]) -> None:
        """Draw curves by name, one value a step or round from the first on, such as ``draw(training=losses)``."""
        self._draw_if_time(
            lambda: {name: (np.arange(1, len(ys) + 1), np.asarray(ys)) for name, ys in values.items()},
            last=any(len(ys) >= self.length for ys in values.values()),
        )

    def _draw_if_time(self, curves: Callable[[], _Curves], last: bool) -> None:
        """The last state is always drawn, the others where they leave 98 % of the time to the training."""
        start = perf_counter()
        if not last and self._spent > self.SHARE * (start - self._began):
            return
        self._widget.value = f"<div>{escape(self.title)}</div>{_svg(curves(), self.length)}"
        if not self._shown:
            self._show()
        self._spent += perf_counter() - start

    def _show(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from IPython.display import display

        self._shown = True
        if InteractiveShell.initialized():  # a plain script has nowhere to put it
            bundle = self._widget._repr_mimebundle_() | {"text/plain": f"(live learning curve: {self.title})"}
            display(bundle, raw=True)


_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 460, 150, 34, 8, 126  # of the live curve, in pixels of the page


def _svg(curves: _Curves, length: int) -> str:
    """All curves on one axis from 0 to the highest finite value, the last value of each in words below."""
    shown = [values[np.isfinite(values)] for _, values in curves.values()]
    top = max([values.max() for values in shown if len(values)], default=0.0) or 1.0
    parts = [f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="learning curve">']
    parts.append(f'<path d="M{_LEFT} {_TOP} V{_BOTTOM} H{_WIDTH - 8}" fill="none" stroke="#8a8a8a"/>')
    for text, y in ((f"{top:.3g}", _TOP + 8), ("0", _BOTTOM)):
        parts.append(f'<text x="{_LEFT - 4}" y="{y}" font-size="11" text-anchor="end" fill="#8a8a8a">{text}</text>')
    for number, (name, (steps, values)) in enumerate(curves.items()):
        colour = (BLUE, VERMILION, SKY)[number % 3]
        keep = np.isfinite(values)
        xs = _LEFT + (_WIDTH - 8 - _LEFT) * steps[keep] / length
        ys = _BOTTOM - (_BOTTOM - _TOP) * np.clip(values[keep] / top, 0, 1)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(xs) <= 20:  # a line of one point would not be seen
            marks = zip(xs, ys, strict=True)
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in marks]
        words = f"{escape(name)} {values[-1]:.3f}" if len(values) else escape(name)
        parts.append(
            f'<text x="{_LEFT + 140 * number}" y="{_HEIGHT - 6}" font-size="12" fill="{colour}">{words}</text>'
        )
    return "".join(parts) + "</svg>"
