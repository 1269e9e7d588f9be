"""Prediction of whole volumes, exactly and within a stated memory; test-time mirroring, ensembles, classes."""

from medlab.infer.scoring import dice_table, predict_case
from medlab.infer.volumes import classify, predict, probabilities

__all__ = ["classify", "dice_table", "predict", "predict_case", "probabilities"]
