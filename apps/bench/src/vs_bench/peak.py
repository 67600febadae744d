"""How much of what a machine can do a piece of work gets out of it: its FLOPs against a large convolution's.

A unit of work that is measured in between (see harness.py) tells a slow minute from a fast one, but is itself bound by
more than arithmetic, and moves by a third from run to run. The *convolution peak* is the speed of one large convolution
in channels-last order, 3x3 from 256 to 256 channels at 64x64, the best of all rounds. It is measured in the same run in
the dtype in which the work convolves; what the work does beside convolutions and matrix products counts as no FLOPs.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vs_bench.harness import Case, Series

CHANNELS, SIDE, KERNEL = 256, 64, 3
_SAMPLES = {"cpu": 1, "cuda": 64}


def flop_of(run: Callable[[], object]) -> int:
    """Count the FLOPs of convolutions and matrix products in one call of `run`, two for each multiply-add.

    Those in kernels that PyTorch does not know, Triton's, are not among them.
    """
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def samples_on(device: torch.device) -> int:
    """Return how many samples the convolution of the peak has; a GPU needs many to be busy."""
    return _SAMPLES.get(device.type, 1)


def peak_flop(device: torch.device) -> int:
    """Return the FLOPs of one call of a peak's case."""
    return 2 * samples_on(device) * SIDE**2 * CHANNELS**2 * KERNEL**2


def peak_case(name: str, dtype: torch.dtype, device: torch.device, prepare: Callable[[], object]) -> Case:
    """Return the convolution whose speed is the peak, as a case to be measured among the others."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=generator).to(device, dtype)
        return drawn.contiguous(memory_format=torch.channels_last)

    image = drawn(samples_on(device), CHANNELS, SIDE, SIDE)
    weight = drawn(CHANNELS, CHANNELS, KERNEL, KERNEL)

    @torch.no_grad()
    def run() -> Tensor:
        return F.conv2d(image, weight, padding=KERNEL // 2)

    return Case(name=name, run=run, prepare=prepare)


def peak_of(series: Series, device: torch.device) -> float:
    """Return the FLOPs in a second of the fastest round of a peak's case."""
    return peak_flop(device) / min(series.seconds)
