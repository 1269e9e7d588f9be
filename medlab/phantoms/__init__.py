"""Seeded synthetic patients with exact ground truth, one file a kind.

| name | what |
|---|---|
| `brain_patient` | brain MR from the MNI152 anatomy that nilearn ships, with tissue labels and, in part, a tumour |
| `brain_transform` | the map from a patient's space to the MNI152 space, known because it made the patient |
| `chest_patient` | chest CT in Hounsfield units with lungs, heart, bones and, in part, nodules |
| `ecg_record` | ten minutes of electrocardiogram with normal, ventricular and supraventricular beats |
| `write_dicom_series` | a DICOM CT series of a made-up person, with a fault that a reader must refuse if asked for |

A patient follows from `(index, seed)` alone: the global random state and the number of threads change nothing.
A name is imported when it is first used, so that the command line stays quick.
"""

import importlib
from typing import Any

_HOMES = {
    "BRAIN_LABELS": "brain",
    "BrainPatient": "brain",
    "brain_patient": "brain",
    "brain_transform": "brain",
    "CHEST_LABELS": "chest",
    "ChestPatient": "chest",
    "Nodule": "chest",
    "chest_patient": "chest",
    "ecg_record": "ecg",
    "write_dicom_series": "dicom",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_HOMES)}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
