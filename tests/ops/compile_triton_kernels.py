"""Compile for a GPU, on any machine, every kernel that small calls of all operators launch; launch none.

Triton's interpreter accepts more than its compiler. This program tells Triton that the current device is a GPU of the
compute capability given, and lets every launch end after the compilation. It prints how many kernels it compiled.

Usage: python compile_triton_kernels.py CAPABILITY HEIGHT WIDTH DTYPE,... MEMORY_FORMAT,...
"""

import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")  # Triton's, on defaults that will change

import torch  # noqa: E402
import triton  # noqa: E402
from torch import Tensor  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.runtime.jit import JITFunction  # noqa: E402
from triton_samples import leaves_of, loss_of, samples  # noqa: E402
from vs_ops import _triton  # noqa: E402
from vs_ops.triton.one_hot import one_hot  # noqa: E402


class Driver:
    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:  # noqa: ARG002
        return 0


def ordered(leaf: Tensor, memory_format: torch.memory_format) -> Tensor:
    if leaf.dim() != 4:
        return leaf
    return leaf.detach().contiguous(memory_format=memory_format).requires_grad_(leaf.requires_grad)


def main() -> None:
    capability, height, width, dtypes, formats = sys.argv[1:]
    compiled = set()
    run = JITFunction.run

    def compile_only(self: JITFunction[Any], *arguments: Any, grid: Any, warmup: bool, **keywords: Any) -> Any:
        kernel = run(self, *arguments, grid=grid, warmup=True, **keywords)
        assert kernel.asm["cubin"]
        compiled.add(kernel.hash)
        return kernel

    triton.runtime.driver.set_active(Driver(int(capability)))
    JITFunction.run = compile_only
    _triton.interpreting = lambda: True
    for name, sample in samples(int(height), int(width)).items():
        for dtype in (getattr(torch, each) for each in dtypes.split(",")):
            if name == "one_hot":
                one_hot(sample.tensors[0], 4, True, 255, dtype)  # no kernel runs, so that no ids must be checked
                continue
            for memory_format in (getattr(torch, each) for each in formats.split(",")):
                leaves = tuple(ordered(each, memory_format) for each in leaves_of(sample, dtype))
                result = sample.call("triton", leaves)
                if sample.differentiable:
                    loss_of(result).backward()
    print(len(compiled))


if __name__ == "__main__":
    main()
