"""Chest CT of any number of synthetic patients in Hounsfield units, drawn from tubes, shells and ellipsoids.

Everything is exact because it was drawn: the nodules' places and diameters, the lungs, the heart. The anatomy is that
of a textbook sketch, no person's, and no finer than the lessons need: windows, Hounsfield units, resampling, DICOM, and
the search for nodules.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medlab.phantoms.canvas import Canvas
from medlab.phantoms.fields import generator, smooth_field

CHEST_LABELS = {
    0: "background",
    1: "left lung",
    2: "right lung",
    3: "heart",
    4: "bone",
    5: "airway",
    6: "nodule",
}


@dataclass(frozen=True)
class Nodule:
    """A solid ball in a lung: centre (x, y, z) in mm in the patient's space (LPS), diameter in mm."""

    centre_mm: tuple[float, float, float]
    diameter_mm: float


@dataclass(frozen=True)
class ChestPatient:
    """One synthetic CT examination.

    Attributes:
        name: for example "chest-0007".
        image: int16 in Hounsfield units, axes towards left, posterior, superior.
        labels: uint8 on the image's grid, see `CHEST_LABELS`.
        nodules: 0 to 3, no two of them touch.
        spacing_mm: voxel size in array order (z, y, x).
    """

    name: str
    image: sitk.Image
    labels: sitk.Image
    nodules: tuple[Nodule, ...]
    spacing_mm: tuple[float, float, float]


def chest_patient(index: int, seed: int = 0) -> ChestPatient:
    """Return synthetic chest number `index` of the population `seed`; three in five have 1 to 3 nodules.

    A nodule is a ball of 6 to 22 mm, wholly inside a lung. A voxel carries a label when its centre lies inside; the
    lungs include their vessels.

    Args:
        index: 0 or more.
        seed: 0 or more; another seed is another population.

    Raises:
        ValueError: index or seed is negative or no integer.
    """
    rng = generator("chest", index, seed, "anatomy")
    grid = _grid(rng)
    canvas = Canvas(rng, grid)
    build = _Build.draw(rng)
    cavity = _draw_wall(canvas, build)
    _draw_abdomen(canvas, build, cavity)
    _draw_bones(canvas, build, cavity)
    _draw_lungs(rng, canvas, build, cavity)
    _draw_mediastinum(canvas, build)
    _draw_vessels(rng, canvas, build)
    _draw_airways(canvas, build)
    canvas.paint(_heart(canvas, build), 42.0, 3)
    nodules = _draw_nodules(generator("chest", index, seed, "nodules"), canvas)
    image, labels = canvas.finish(generator("chest", index, seed, "scanner"))
    spacing = grid.GetSpacing()[::-1]
    return ChestPatient(f"chest-{index:04d}", image, labels, nodules, spacing)


@dataclass(frozen=True)
class _Build:
    """Measures of one body in mm; x from the midline to the left, y to the back, z up; z = 0 is in the heart."""

    half_width: float
    half_depth: float
    fat: float
    spine_y: float
    heart: float
    dome: float
    rib_phase: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Build":
        half_depth = rng.uniform(100.0, 116.0)
        return cls(
            half_width=rng.uniform(150.0, 166.0),
            half_depth=half_depth,
            fat=rng.uniform(7.0, 20.0),
            spine_y=half_depth - rng.uniform(58.0, 62.0),
            heart=rng.uniform(0.9, 1.12),
            dome=rng.uniform(-62.0, -46.0),
            rib_phase=rng.uniform(0.0, 24.0),
        )


def _grid(rng: np.random.Generator) -> sitk.Image:
    in_plane = float(rng.choice([1.8, 1.9, 2.0]))
    slice_mm = float(rng.choice([2.5, 3.0]))
    grid = sitk.Image([192, 144, round(240.0 / slice_mm)], sitk.sitkUInt8)
    grid.SetSpacing([in_plane, in_plane, slice_mm])
    grid.SetOrigin([-(n - 1) / 2 * s for n, s in zip(grid.GetSize(), grid.GetSpacing(), strict=True)])
    return grid


def _oval(canvas: Canvas, half_width: np.ndarray | float, half_depth: np.ndarray | float, power: float) -> np.ndarray:
    """Return about the distance in mm to an upright tube with a rounded-rectangle section."""
    reach = (np.abs(canvas.x / half_width) ** power + np.abs(canvas.y / half_depth) ** power) ** np.float32(1.0 / power)
    return (reach - 1.0) * half_depth


def _draw_wall(canvas: Canvas, build: _Build) -> np.ndarray:
    """Draw skin, fat and muscle; return about the distance in mm to the inside of the rib cage, negative inside."""
    shoulders = 1.0 - 0.25 * np.clip((canvas.z - 70.0) / 60.0, 0.0, 1.0) ** 2
    skin = _oval(canvas, build.half_width, build.half_depth * shoulders, 2.4)
    canvas.paint(skin, 20.0)
    canvas.paint(skin + 2.0, -100.0)
    canvas.paint(skin + build.fat, 52.0)
    height = np.clip((canvas.z + 10.0) / 108.0, 0.0, 0.995)
    taper = (1.0 - height**2.4) ** np.float32(1.0 / 2.4)  # the rib cage closes towards the neck
    room = build.fat + 16.0
    taper_depth = 0.25 + 0.75 * taper
    return _oval(canvas, (build.half_width - room) * taper, (build.half_depth - room) * taper_depth, 2.2)


def _draw_bones(canvas: Canvas, build: _Build, cavity: np.ndarray) -> None:
    x, y, z = canvas.x, canvas.y, canvas.z
    turn = np.arctan2(np.abs(x), y + 0.0 * z) / np.pi  # 0 at the back, 1 at the front
    rise = z + 95.0 * turn - build.rib_phase
    across = (rise + 12.0) % 24.0 - 12.0  # ribs lie 24 mm apart and slope down to the front
    rib = (np.sqrt(((cavity - 7.0) / 4.2) ** 2 + (across / 5.0) ** 2) - 1.0) * 4.2
    rib = np.maximum(rib, (turn - 0.78) * 100.0)  # in front the ribs are cartilage
    rib = np.maximum(rib, np.maximum(-90.0 - z, z - 88.0))
    canvas.paint(rib, 480.0, 4)
    canvas.paint(rib + 2.2, 220.0, 4)
    blade = np.maximum(np.abs(cavity - 19.0) - 2.5, (np.abs(turn - 0.30) - 0.11) * 300.0)
    canvas.paint(np.maximum(blade, 15.0 - z), 420.0, 4)
    front = build.half_depth - build.fat - 14.0
    sternum = np.maximum(np.hypot(np.abs(x) / 2.4, y + front) - 7.0, np.maximum(-45.0 - z, z - 75.0))
    canvas.paint(sternum, 330.0, 4)
    canvas.paint(sternum + 2.2, 150.0, 4)
    _draw_spine(canvas, build)


def _draw_spine(canvas: Canvas, build: _Build) -> None:
    x, y, z = canvas.x, canvas.y - build.spine_y, canvas.z
    level = (z + 13.0 - build.rib_phase) % 24.0  # a vertebra and its disc
    disc = np.abs(level - 21.5) - 2.5
    arch = np.maximum(np.hypot(x, y - 24.0) - 14.0, np.abs(level - 10.0) - 8.0)
    wing = np.maximum(np.hypot(np.abs(x) - 20.0, (y - 24.0) * 1.8) - 13.0, np.abs(level - 8.0) - 5.0)
    spinous = np.maximum(np.maximum(np.abs(x) - 2.8, np.abs(y - 44.0) - 13.0), np.abs(level - 8.0) - 8.0)
    for part in (arch, wing, spinous):
        canvas.paint(part, 380.0, 4)
    body = np.hypot(x, y * 1.15) - 17.0
    canvas.paint(body, 400.0, 4)
    canvas.paint(np.maximum(body + 2.0, 1.5 - disc), 170.0, 4)
    canvas.paint(np.maximum(body + 0.5, disc), 75.0)
    canvas.labels[(disc < 0.0) & (body < 0.0)] = 0
    canal = np.hypot(x, y - 24.0) - 8.0
    canvas.paint(canal, 25.0)
    canvas.labels[canal < 0.0] = 0


def _diaphragm(canvas: Canvas, build: _Build) -> np.ndarray:
    """Return how far a voxel lies below the diaphragm, mm; the right dome is the higher one."""
    side = np.where(canvas.x > 0.0, -10.0, 0.0)
    drop = ((np.abs(canvas.x) - 60.0) / 62.0) ** 2 + ((canvas.y + 10.0) / 68.0) ** 2
    return build.dome + side - 26.0 * drop - canvas.z


def _draw_abdomen(canvas: Canvas, build: _Build, cavity: np.ndarray) -> None:
    canvas.paint(cavity, -95.0)  # fat, also between the lungs
    below = np.maximum(cavity, -_diaphragm(canvas, build))
    liver = np.maximum(below + 3.0, canvas.x - 12.0 + 0.5 * (canvas.z + 60.0))
    canvas.paint(np.maximum(liver, canvas.y - build.spine_y + 8.0 - 0.6 * np.abs(canvas.x)), 58.0)
    canvas.paint(np.maximum(below + 3.0, canvas.ball((88.0, 38.0, -85.0), (34.0, 42.0, 42.0))), 48.0)
    stomach = np.maximum(below + 3.0, canvas.ball((62.0, -32.0, -88.0), (46.0, 36.0, 44.0)))
    canvas.paint(stomach, 45.0)
    canvas.paint(stomach + 4.0, 15.0)
    canvas.paint(np.maximum(stomach + 4.0, canvas.y + 40.0), -980.0)  # gas rises to the front of a person on the back


def _heart(canvas: Canvas, build: _Build) -> np.ndarray:
    s = build.heart
    main = canvas.ball((26.0, -24.0, -22.0), (52.0 * s, 40.0 * s, 46.0 * s))
    right = canvas.ball((-10.0, -20.0, -12.0), (36.0 * s, 34.0 * s, 44.0 * s))
    return np.minimum(main, right)


def _draw_lungs(rng: np.random.Generator, canvas: Canvas, build: _Build, cavity: np.ndarray) -> None:
    x, y, z = canvas.x, canvas.y, canvas.z
    middle = 26.0 - 20.0 * np.clip((-y - 15.0) / 45.0, 0.0, 1.0) + 0.0 * z  # the lungs nearly meet in front
    middle = np.maximum(middle, 34.0 - 0.25 * np.hypot(y - 10.0, z - 15.0))  # the hilum
    gap = middle - np.abs(x)
    spine = 23.0 - np.hypot(x, y - build.spine_y)
    aorta = 19.0 - np.hypot(x - 24.0, y - build.spine_y + 24.0)
    outside = np.maximum.reduce(
        [cavity + 2.0, gap, spine, aorta, 5.0 - _heart(canvas, build), _diaphragm(canvas, build)]
    )
    gravity = np.float32(0.35) * np.clip(y, -90.0, 90.0)  # the lower, rear parts hold more blood
    lung = -870.0 + gravity + 14.0 * smooth_field(rng, canvas.grid, 6.0)
    canvas.paint(outside, lung, 1)
    canvas.labels[(canvas.labels == 1) & (x < 0.0)] = 2


def _draw_mediastinum(canvas: Canvas, build: _Build) -> None:
    x, y, z = canvas.x, canvas.y, canvas.z
    rear = build.spine_y - 24.0
    descending = np.maximum(np.hypot(x - 24.0, y - rear) - 12.0, z - 42.0)
    along = np.clip(((x + 12.0) * 36.0 + (y + 20.0) * (rear + 20.0)) / (36.0**2 + (rear + 20.0) ** 2), 0.0, 1.0)
    arch = np.sqrt((x + 12.0 - 36.0 * along) ** 2 + (y + 20.0 - (rear + 20.0) * along) ** 2 + (z - 44.0) ** 2) - 13.0
    ascending = np.maximum(np.hypot(x + 8.0, y + 22.0) - 15.0, np.maximum(z - 44.0, -z))
    pulmonary = np.maximum(np.hypot(x - 14.0, y + 30.0 - 0.3 * z) - 13.0, np.maximum(z - 24.0, -z))
    cava = np.maximum(np.hypot(x + 26.0, y + 10.0) - 9.0, -z)
    oesophagus = np.hypot(x - 6.0, y - rear + 4.0) - 6.0
    for tube in (descending, arch, ascending, pulmonary, cava, oesophagus):
        canvas.paint(tube, 42.0)


def _draw_airways(canvas: Canvas, build: _Build) -> None:
    """Draw the windpipe and its first branches: all walls first, so that none stands inside another's air."""
    split = np.array([0.0, build.spine_y - 46.0, 28.0])  # where the windpipe divides
    tubes = [(split, split + np.array([0.0, 0.0, 120.0]), 8.5)]
    for side in (1.0, -1.0):
        hilum = split + np.array([side * 36.0, 4.0, -20.0])
        tubes.append((split, hilum, 5.5))
        branches = np.array([(-14.0, 14.0), (4.0, 20.0), (14.0, -4.0)])
        tubes += [(hilum, hilum + np.array([side * 20.0, *branch]), 2.3) for branch in branches]
    for start, end, radius in tubes:
        canvas.tube(start, end, radius + 1.4, 10.0)
    for start, end, radius in tubes:
        canvas.tube(start, end, radius, -985.0, 5)


def _draw_vessels(rng: np.random.Generator, canvas: Canvas, build: _Build) -> None:
    """Grow trees of vessels from each hilum into its lung."""
    angles = np.linspace(-1.3, 1.3, 10)  # from the lowest lobe to the top
    for side in (1.0, -1.0):
        hilum = np.array([side * 37.0, build.spine_y - 49.0, 10.0])
        for angle in angles + rng.uniform(-0.1, 0.1, len(angles)):
            heading = np.array([side * np.cos(angle), rng.uniform(-0.9, 0.9), 1.2 * np.sin(angle)])
            _grow_vessel(rng, canvas, hilum, heading / np.linalg.norm(heading), 26.0, 4.0)


def _grow_vessel(
    rng: np.random.Generator, canvas: Canvas, start: np.ndarray, heading: np.ndarray, length: float, radius: float
) -> None:
    """Draw one vessel and, from its end, two thinner ones, as long as they stay in the lung.

    Source: Murray 1926, DOI 10.1073/pnas.12.3.207: the cubes of the radii add up.
    """
    if radius < 0.5:
        return
    for shorter in (1.0, 0.6, 0.3):
        end = start + shorter * length * heading
        if _in_lung(canvas, end):
            break
    else:
        return
    canvas.tube(start, end, radius, 35.0)
    bend = np.cross(heading, rng.standard_normal(3))
    bend /= np.linalg.norm(bend)
    share = rng.uniform(0.25, 0.75)
    for sign, part in ((1.0, share), (-1.0, 1.0 - share)):
        angle = 0.9 * (1.0 - part) * rng.uniform(0.7, 1.3)  # the thinner one turns off more
        turned = np.cos(angle) * heading + sign * np.sin(angle) * bend
        _grow_vessel(rng, canvas, end, turned, length * rng.uniform(0.72, 0.95), radius * part ** (1.0 / 3.0))


def _in_lung(canvas: Canvas, point: np.ndarray) -> bool:
    place = canvas.grid.TransformPhysicalPointToIndex(point)
    inside = all(0 <= i < n for i, n in zip(place, canvas.grid.GetSize(), strict=True))
    return inside and bool(canvas.labels[place[::-1]] in (1, 2))


def _draw_nodules(rng: np.random.Generator, canvas: Canvas) -> tuple[Nodule, ...]:
    if rng.random() < 0.4:
        return ()
    lungs = (canvas.labels == 1) | (canvas.labels == 2)
    depth = ndimage.distance_transform_edt(lungs, sampling=canvas.grid.GetSpacing()[::-1])
    nodules: list[Nodule] = []
    for _ in range(rng.integers(1, 4)):
        diameter = round(float(rng.uniform(6.0, 22.0)), 1)
        places = np.argwhere(depth > diameter / 2.0 + 2.0)
        z, y, x = places[rng.integers(len(places))] + rng.uniform(-0.3, 0.3, 3)  # seldom in the middle of a voxel
        centre = canvas.grid.TransformContinuousIndexToPhysicalPoint((x, y, z))
        canvas.tube(np.array(centre), np.array(centre), diameter / 2.0, float(rng.uniform(-20.0, 50.0)), 6)
        nodules.append(Nodule(centre, diameter))
        apart = np.linalg.norm((np.argwhere(depth > 0.0) - (z, y, x)) * canvas.grid.GetSpacing()[::-1], axis=1)
        depth[depth > 0.0] *= apart > diameter / 2.0 + 14.0
    return tuple(nodules)
