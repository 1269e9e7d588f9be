"""The viewer as a Jupyter widget: sends the scene to the browser, and brings back what is drawn there."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import SimpleITK as sitk
import traitlets as t

from medlab import images
from medlab.viewer.bundle import bundle
from medlab.viewer.scene import Labels, Scene, resolve_window
from medlab.viewer.standin import still_png
from medlab.viewer.wire import Chunk, Wire, edited

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Point:
    """A point that was set in the viewer."""

    index: tuple[int, ...]  # of the voxel, in array order: volume[point.index]
    mm: tuple[float, float, float] | None  # x, y, z in the patient (LPS); None for a 2D image


@dataclass(frozen=True)
class Roi:
    """A box that was drawn in the viewer, in array order."""

    start: tuple[int, ...]  # the first voxel inside
    stop: tuple[int, ...]  # the first voxel beyond

    @property
    def slices(self) -> tuple[slice, ...]:
        """What cuts the box out of the array: `volume[viewer.roi.slices]`."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))


class Viewer(anywidget.AnyWidget):
    """A slice viewer; made by `view` and `compare`."""

    _esm = HERE / "widget.js"
    _css = HERE / "widget.css"
    _key = t.Unicode().tag(sync=True)
    _scene = t.Dict().tag(sync=True)
    _preview = t.Bytes().tag(sync=True)
    _window: t.List[float] = t.List().tag(sync=True)  # level, width
    _index: t.List[int] = t.List().tag(sync=True)  # z, y, x of the crosshair, on the grid that is shown
    _frame = t.Int(0).tag(sync=True)
    _points: t.List[list[int]] = t.List().tag(sync=True)  # of [z, y, x]
    _pushed = t.Bool(False).tag(sync=True)  # whether the volume was sent; a page that is loaded later must ask for it
    _roi = t.Any(None).tag(sync=True)  # [[z, y, x], [z, y, x]]: first inside, first beyond

    def __init__(self, scene: Scene, wire: Wire) -> None:
        self.scene, self.wire = scene, wire
        self._callbacks: list[Callable[[str], None]] = []
        self._own_labels = False  # whether the label map is ours to write into
        super().__init__(
            _key=uuid.uuid4().hex,
            _scene=wire.meta(),
            _preview=wire.preview(),
            _index=list(wire.start),
            _window=list(scene.window),
            _roi=None,
        )
        self.on_msg(self._receive)
        self.observe(lambda change: self._tell(change["name"][1:]), ["_points", "_roi"])

    # --- What people use

    @property
    def alt(self) -> str:
        """One line that says what is shown: size, spacing, range, labels with volumes."""
        return self.scene.describe()

    @property
    def window(self) -> tuple[float, float]:
        """(level, width) of the grey values; takes the name of a preset too."""
        return self._window[0], self._window[1]

    @window.setter
    def window(self, window: tuple[float, float] | str) -> None:
        self._window = list(resolve_window(window, self.scene))

    @property
    def index(self) -> tuple[int, ...]:
        """The voxel under the crosshair, in array order."""
        return self.wire.full(self._index)

    @index.setter
    def index(self, index: Sequence[int]) -> None:
        self._index = self.wire.coarse(index, "index")

    @property
    def frame(self) -> int:
        """Which frame of a (T, D, H, W) image is shown."""
        return self._frame

    @frame.setter
    def frame(self, frame: int) -> None:
        if not 0 <= frame < len(self.scene.volume):
            raise ValueError(f"frame must be in 0..{len(self.scene.volume) - 1}, got {frame}")
        self._frame = frame

    @property
    def points(self) -> list[Point]:
        """The points that were set, in the order in which they were. Takes a list of points or of array indices."""
        return [Point(self.wire.full(p), self._mm(p)) for p in self._points]

    @points.setter
    def points(self, points: Sequence[Point | Sequence[int]]) -> None:
        self._points = [self.wire.coarse(p.index if isinstance(p, Point) else p, "a point") for p in points]

    @property
    def roi(self) -> Roi | None:
        """The box that was drawn, or None."""
        if self._roi is None:
            return None
        size = self.scene.shape[1:] if self.scene.flat else self.scene.shape
        stop = [min(a, n) for a, n in zip(self.wire.full(self._roi[1]), size, strict=True)]
        return Roi(self.wire.full(self._roi[0]), tuple(stop))

    @roi.setter
    def roi(self, roi: Roi | None) -> None:
        if roi is None:
            self._roi = None
            return
        last = [stop - 1 for stop in roi.stop]
        start, end = self.wire.coarse(roi.start, "roi.start"), self.wire.coarse(last, "roi.stop - 1")
        self._roi = [start, [i + 1 for i in end]]

    def labels(self) -> sitk.Image:
        """The label map with what was painted, on exactly the grid of the image; all zero if there is none."""
        scene = self.scene
        values = np.zeros(scene.shape, np.uint8) if scene.labels is None else scene.labels.original()
        if scene.flat:
            image = images.from_array(values[0], scene.spacing_mm[1:])
            image.SetOrigin(scene.origin_mm[:2])
            image.SetDirection(scene.direction[:2, :2].ravel().tolist())
            return image
        image = images.from_array(values, scene.spacing_mm)
        image.SetOrigin(scene.origin_mm)
        image.SetDirection(scene.direction.ravel().tolist())
        return image

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback("points")`, `callback("roi")` or `callback("labels")` whenever one of them changes."""
        self._callbacks.append(callback)

    def save_html(self, path: str | Path) -> None:
        """Write one page that shows this in any browser, from disk, with no network and no kernel.

        Args:
            path: the file to make or to replace.
        """
        from medlab.viewer.page import html

        path = Path(path)
        beside = path.with_name(path.name + ".part")
        beside.write_text(html(self), encoding="utf-8")
        beside.replace(path)

    def _mm(self, index: Sequence[int]) -> tuple[float, float, float] | None:
        scene = self.scene
        if scene.flat:
            return None
        offset = np.multiply([i * s for i, s in zip(index, self.wire.steps, strict=True)], scene.spacing_mm)[::-1]
        x, y, z = (np.array(scene.origin_mm) + scene.direction @ offset).tolist()
        return x, y, z

    # --- Between kernel and browser

    def _ipython_display_(self, **_: Any) -> None:
        """Show the widget, then push the volume after it: it arrives although the kernel may be busy from now on."""
        from IPython.display import display

        data, metadata = self._repr_mimebundle_()
        display(data, metadata=metadata, raw=True)
        sys.stdout.flush()  # in a notebook this waits until all is sent: the picture comes first, packing takes longer
        if not self._pushed:
            self._pushed = True
            self._push(self.wire.chunks())

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and what stands in for it where there is none: a picture and a line of text."""
        return bundle(self, still_png(self.scene, self.wire, tuple(self._index)), self._page)

    def _page(self) -> str:
        from medlab.viewer.page import FRAME_MB, html

        return html(self, max_mb=FRAME_MB)

    def _push(self, chunks: list[Chunk]) -> None:
        for chunk, packed in self.wire.packed(chunks):
            content = {"type": "chunk", "layer": chunk.layer, "frame": chunk.frame, "first": chunk.first}
            self.send(content, buffers=[packed])

    def _receive(self, _: Any, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content["type"] == "need":
            self._push([Chunk(*listed) for listed in content["chunks"]])
        elif content["type"] == "edit":
            self._edit(content, *buffers)

    def _edit(self, content: dict[str, Any], places: memoryview, numbers: memoryview) -> None:
        scene = self.scene
        if scene.labels is None:
            scene.labels = Labels(np.zeros(scene.shape, np.uint8), [], [], [])
            self._preview = self.wire.preview()
        elif not self._own_labels:
            scene.labels.index = scene.labels.index.copy()
        self._own_labels = True
        labels = scene.labels
        for new in content["labels"][len(labels.values) :]:
            labels.values.append(int(new["value"]))
            labels.names.append(str(new["name"]))
            labels.counts.append(0)
        edited(labels, np.frombuffer(places, np.uint32), np.frombuffer(numbers, np.uint16), self.wire)
        self._scene = self.wire.meta()  # for a page that is loaded later
        self._tell("labels")

    def _tell(self, what: str) -> None:
        for callback in self._callbacks:
            callback(what)
