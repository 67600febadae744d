"""The subjects of the benchmark of the operators: every operator at sizes of the networks, beside plain PyTorch."""

from vs_bench.operators.subjects.convolutions import PLANS as CONVOLUTIONS
from vs_bench.operators.subjects.labels import PLANS as LABELS
from vs_bench.operators.subjects.losses import PLANS as LOSSES
from vs_bench.operators.subjects.normalisations import PLANS as NORMALISATIONS
from vs_bench.operators.subjects.parameters import PLANS as PARAMETERS
from vs_bench.operators.subjects.pictures import PLANS as PICTURES
from vs_bench.operators.subjects.pointwise import PLANS as POINTWISE
from vs_bench.operators.subjects.references import PLANS as REFERENCES
from vs_bench.operators.subjects.subject import FORMATS, Make, MemoryFormat, Plan, Subject, work_of

PLANS: tuple[Plan, ...] = (
    *POINTWISE,
    *LOSSES,
    *NORMALISATIONS,
    *PARAMETERS,
    *PICTURES,
    *LABELS,
    *CONVOLUTIONS,
    *REFERENCES,
)

__all__ = ["FORMATS", "PLANS", "Make", "MemoryFormat", "Plan", "Subject", "work_of"]
