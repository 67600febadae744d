"""The hinge losses in the talk's own wording, before and after they are scripted, and ours."""

from collections.abc import Callable

import torch
import vs_ops
from torch import Tensor

from vs_bench.talk.calls import Calls, lines_of_scripting, measure_calls, outcome_of_calls, scripted
from vs_bench.talk.gelu import counted
from vs_bench.talk.outcome import Line, Outcome, line_of_ratio
from vs_bench.talk.setting import Row, Setting

BEFORE, AFTER, OURS = "torch.min(x - 1, x * 0)", "the same, scripted", "vs_ops.hinge_d_real and _fake"


def min_mean_real(x: Tensor) -> Tensor:
    """Return the loss of real images as the talk writes it."""
    minval = torch.min(x - 1, x * 0)
    return -torch.mean(minval)


def min_mean_fake(x: Tensor) -> Tensor:
    """Return the loss of generated images as the talk writes it."""
    minval = torch.min(-x - 1, x * 0)
    return -torch.mean(minval)


def measure(setting: Setting) -> Outcome:
    """Measure both losses of a discriminator, forward and backward."""
    x = torch.randn(setting.scale.logits, generator=torch.Generator().manual_seed(0))
    logits = x.to(setting.device).requires_grad_()
    fused_real, fused_fake = scripted(min_mean_real), scripted(min_mean_fake)

    def both(real: Callable[[Tensor], Tensor], fake: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(real(logits) + fake(logits), [logits])

    calls = {
        BEFORE: both(min_mean_real, min_mean_fake),
        AFTER: both(fused_real, fused_fake),
        OURS: both(vs_ops.hinge_d_real, vs_ops.hinge_d_fake),
    }
    shape = "x".join(map(str, setting.scale.logits))
    sentence = f"Both losses of a discriminator on {shape} logits, forward and backward, {counted(setting)}."
    return outcome_of_calls(sentence, measure_calls(setting, "hinge losses", calls), BEFORE, lines_of)


def lines_of(calls: Calls) -> tuple[Line, ...]:
    """Return the lines of the row. Pure."""
    return (
        *lines_of_scripting(calls, BEFORE, AFTER, OURS),
        line_of_ratio("ours: speed-up", calls.ratio(BEFORE, OURS)),
    )


ROW = Row(
    name="hinge",
    title="PyTorch JIT: hinge losses",
    says="`torch.min(x - 1, x * 0)` and the mean of it, scripted; the talk shows the change and no figure.",
    figure="no figure",
    measure=measure,
    share=0.4,
)
