"""Where to compute, in what precision, and the cohorts that deal out batches there."""

from medlab.gpu.choosing import batches
from medlab.gpu.device import Precision, pick_device, precision, seed
from medlab.gpu.packing import network_input, normalise
from medlab.gpu.prefetch import Prefetch
from medlab.gpu.resident import Resident
from medlab.gpu.samples import Samples

__all__ = [
    "Precision",
    "Prefetch",
    "Resident",
    "Samples",
    "batches",
    "network_input",
    "normalise",
    "pick_device",
    "precision",
    "seed",
]
