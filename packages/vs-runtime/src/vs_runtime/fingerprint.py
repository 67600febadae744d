"""Numbers by which two states are known to be the same, bit for bit, without one of them at hand."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor

from vs_runtime._nested import flatten


def fingerprints(state: Any) -> dict[str, int]:
    """Return a whole number of 64 bits for each tensor of a state, by its path in it, and last one for all else.

    Args:
        state: as for `save_checkpoint`; tensors of equal bits, shapes and dtypes have equal numbers on every device.
    """
    skeleton, tensors = flatten(state)
    rest = json.dumps(skeleton, sort_keys=True).encode()
    return {**{name: _number(_bytes(tensor)) for name, tensor in tensors.items()}, "numbers": _number(rest)}


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()


def _number(content: Any) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)
