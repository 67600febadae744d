"""GELU of a million numbers: five kernels, or one. The talk's first experiment."""

import torch
import vs_ops

from vs_bench.operators.subjects.pointwise import eager_gelu
from vs_bench.talk.calls import Calls, kernels_and_time, measure_calls, outcome_of_calls, scripted
from vs_bench.talk.outcome import Line, Outcome, line_of_ratio
from vs_bench.talk.setting import Row, Setting

EAGER, SCRIPTED, OURS = "gelu(x)", "fused_gelu(x)", "vs_ops.gelu(x)"
TALK_SPEEDUP = 79 / 18


def measure(setting: Setting) -> Outcome:
    """Measure the talk's two functions, and ours."""
    elements = setting.scale.elements
    x = torch.randn(elements, generator=torch.Generator().manual_seed(0)).to(setting.device)
    fused = scripted(eager_gelu)
    calls = {EAGER: lambda: eager_gelu(x), SCRIPTED: lambda: fused(x), OURS: lambda: vs_ops.gelu(x)}
    sentence = f"A vector of {elements:,} float32 numbers, forward, {counted(setting)}."
    return outcome_of_calls(sentence, measure_calls(setting, "gelu", calls), EAGER, lines_of)


def counted(setting: Setting) -> str:
    """Say what counts as a kernel on the device, and what computes."""
    if setting.device.type == "cuda":
        return "times by CUDA events"
    return f"{setting.threads} threads; a kernel is an operator of PyTorch that touches the numbers"


def lines_of(calls: Calls) -> tuple[Line, ...]:
    """Return the lines of the row. Pure."""
    return (
        *kernels_and_time(calls, EAGER, kernels="5", time="79 us"),
        *kernels_and_time(calls, SCRIPTED, kernels="1", time="18 us", one=True),
        *kernels_and_time(calls, OURS),
        line_of_ratio("scripting: speed-up", calls.ratio(EAGER, SCRIPTED), talk="4.4x", wanted=TALK_SPEEDUP),
        line_of_ratio("ours: speed-up", calls.ratio(EAGER, OURS)),
    )


ROW = Row(
    name="gelu",
    title="PyTorch JIT: GELU",
    says="Scripting fuses pointwise operations into one kernel: GELU of 1M float32 numbers takes 1 kernel and 18 us "
    "instead of 5 kernels and 79 us.",
    figure="4.4x",
    measure=measure,
    share=0.4,
)
