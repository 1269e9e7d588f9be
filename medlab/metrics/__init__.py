"""Metrics on masks and label maps: what a result is judged by.

`dice`, `surface_distances` and `lesion_counts` take bool masks, `dice_per_class` and `evaluate` integer label maps;
`evaluate` gives every metric of every label from one computation. A surface is made of the voxels of a mask that have
a face neighbour outside it, or that lie on the border of the image; distances are between voxel centres. These are
MONAI's defaults. Numbers of other libraries differ, and this is why:

| library | differs in | there | here |
|---|---|---|---|
| MONAI 1.6 | both masks empty | NaN, left out of the mean | Dice, IoU, surface Dice 1; distances 0 |
| | truth empty, prediction not | Dice and IoU NaN: made-up lesions go unpunished | 0 |
| | one mask empty | HD95 NaN, so the mean is over the cases that were found | infinite, as HD and average |
| | precision | distances float32, HD95 off by up to 1.5e-5 | float64, off by less than 1e-9 |
| | percentile 0 | the maximum | the minimum |
| | average surface distance | prediction to truth only, unless `symmetric=True` | both directions together |
| surface-distance 0.1 | surface | corners of voxels: HD up to one voxel diagonal apart | voxel centres |
| | weights | area of each element; percentiles are not interpolated | each voxel counts the same; interpolated |
| | average surface distance | two numbers, one a direction | their mean, weighted by the voxels of each surface |
| | an empty mask | NaN or infinite; an error with NumPy 2 | as above |
| MedPy 0.5 | HD95 | percentile of both directions pooled | the larger of two percentiles |
| | symmetric average (`assd`) | mean of the two directed means | mean of all distances |
| | an empty mask | an error | as above |
| SimpleITK 2.5 | Hausdorff | between all voxels of the masks: inside the other is 0 away | between the surfaces |
| | average Hausdorff | mean of two means over all voxels of the masks | mean over surface voxels |
| Panoptica 2.1 | a lesion is found | one to one, from intersection over union 0.5 on | from one shared voxel on |

None of these is wrong; a table of results has to say which it uses.
"""

from medlab.metrics.lesions import LesionCounts, lesion_counts
from medlab.metrics.overlap import dice, dice_per_class, mean_dice
from medlab.metrics.report import evaluate
from medlab.metrics.surfaces import SurfaceDistances, surface_distances

__all__ = [
    "LesionCounts",
    "SurfaceDistances",
    "dice",
    "dice_per_class",
    "evaluate",
    "lesion_counts",
    "mean_dice",
    "surface_distances",
]
