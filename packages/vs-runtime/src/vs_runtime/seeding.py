"""Random state: one seed for everything, the whole state as plain data, and seeds derived by name."""

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from vs_runtime.errors import StateError


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2**63) for the part called `names`; the same on every machine, run and version of Python.

    Different lists of names give unrelated seeds: `derive_seed(7, "loader", 12)` and `derive_seed(7, "loader", 1, 2)`
    have nothing in common.
    """
    parts = [f"{type(part).__name__}:{part}".encode() for part in (seed, *names)]
    text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch (all its devices)."""
    random.seed(derive_seed(seed, "python"))
    np.random.seed(derive_seed(seed, "numpy") % 2**32)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(derive_seed(seed, "torch"))


def random_state() -> dict[str, Any]:
    """Return the state of the same generators as nested dicts, tuples, numbers and tensors, fit for `save_checkpoint`.

    `cuda` is a list with one state per visible GPU, empty where CUDA is absent or was not used yet by this process.
    """
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return {
        "python": random.getstate(),
        "numpy": {
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            "pos": int(numpy_state["state"]["pos"]),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "cuda": list(cuda),
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Go on from what `random_state` gave.

    States of GPUs that are not there are left out, so that a run can be continued on another machine.

    Raises:
        StateError: something in `state` is missing or has the wrong form.
    """
    try:
        words, position = state["numpy"]["key"], state["numpy"]["pos"]
        if int(words.min()) < 0 or int(words.max()) >= 2**32 or not 0 <= position <= len(words):
            raise ValueError("NumPy's words are no 32-bit numbers, or its position is beyond them")  # it asks neither
        key = words.numpy().astype(np.uint32)
        numpy_state = {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": position},
            "has_gauss": state["numpy"]["has_gauss"],
            "gauss": state["numpy"]["gauss"],
        }
        random.setstate(state["python"])
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(state["torch"])
        for index, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(cuda_state, index)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise StateError("random state", f"{type(error).__name__}: {error}") from error
