"""All rows of the talk, in its order."""

from vs_bench.talk import accuracy, adam, affinity, amp, checkpointing, executor, few_shot, gelu, hinge, spectral
from vs_bench.talk.setting import Row

ROWS: tuple[Row, ...] = (
    gelu.ROW,
    hinge.ROW,
    spectral.ROW,
    executor.ROW,
    adam.ROW,
    affinity.ROW,
    checkpointing.ROW,
    amp.ROW,
    few_shot.ROW,
    accuracy.ROW,
)
