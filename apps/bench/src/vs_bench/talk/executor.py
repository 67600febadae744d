"""The switches of TorchScript's executor, which the talk sets for PyTorch 1.5."""

from typing import Any

from vs_bench.harness import Ratio
from vs_bench.operators import executors
from vs_bench.talk.outcome import Line, Outcome, line_of_ratio
from vs_bench.talk.setting import Row, Setting

SECONDS = 5.0
"""That a process takes, about."""
LEAST = 3
"""Processes for each setting, unless the scale asks for fewer."""


def measure(setting: Setting) -> Outcome:
    """Measure scripted GELU in both settings, in processes of their own, since the switches are of the process."""
    scale, budget = setting.scale, setting.budget
    processes = min(scale.processes, int(budget.left / (len(executors.SETTINGS) * SECONDS)))
    if processes < min(scale.processes, LEAST):
        return Outcome(setting="", left_out=("the executor's switches: left out for want of time",))
    setting.say("the executor's switches")
    record = executors.compare(setting.device, threads=setting.threads, processes=processes, elements=scale.elements)
    return outcome_of(record)


def outcome_of(record: dict[str, Any]) -> Outcome:
    """Return the outcome of a comparison of the executors. Pure."""
    lines = [
        line
        for name, what in (("profiling", "as PyTorch comes"), ("legacy", "with the talk's switches"))
        for line in (
            Line(what=f"fused_gelu(x) {what}: kernels", value=record["kernels"][name], unit="count"),
            Line(what=f"fused_gelu(x) {what}: time", value=record["median_seconds"][name], unit="seconds"),
        )
    ]
    ratio = Ratio(slow="profiling", fast="legacy", **record["speedup"])
    lines.append(line_of_ratio("the switches: speed-up", ratio, talk="for PyTorch 1.5", wanted=1))
    return Outcome(
        setting=f"A vector of {record['elements']:,} float32 numbers; {record['processes']} process(es) for each.",
        lines=tuple(lines),
        measured=(record,),
    )


ROW = Row(
    name="executor",
    title="PyTorch JIT: the executor's switches",
    says="For PyTorch 1.5, `torch._C._jit_set_profiling_executor(False)` and `_jit_set_profiling_mode(False)` are "
    "called before anything is scripted.",
    figure="no figure",
    measure=measure,
    share=0.8,
)
