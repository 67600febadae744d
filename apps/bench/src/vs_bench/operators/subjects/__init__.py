"""The subjects of the benchmark of the operators: every operator at sizes of the networks, beside plain PyTorch."""

from vs_bench.operators.subjects import (
    convolutions,
    labels,
    losses,
    normalisations,
    parameters,
    pictures,
    pointwise,
    references,
)
from vs_bench.operators.subjects.subject import FORMATS, Make, MemoryFormat, Plan, Subject, results_of, work_of

PLANS: tuple[Plan, ...] = (
    *pointwise.PLANS,
    *losses.PLANS,
    *normalisations.PLANS,
    *parameters.PLANS,
    *pictures.PLANS,
    *labels.PLANS,
    *convolutions.PLANS,
    *references.PLANS,
)

__all__ = ["FORMATS", "PLANS", "Make", "MemoryFormat", "Plan", "Subject", "results_of", "work_of"]
