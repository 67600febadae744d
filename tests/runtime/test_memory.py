"""Too little memory is recognised in all the words that libraries have for it."""

import cv2
import numpy as np
import pytest
import torch
from vs_runtime import is_out_of_memory, memory_in_use


def refused(allocate: object) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the libraries' own, whatever they are
        allocate()  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(2**56),
        lambda: torch.nn.Conv2d(10**9, 10**9, 3),
        lambda: np.empty(2**56),
        lambda: bytearray(2**56),
        lambda: torch.ones(3, 3).repeat(2**27, 2**27),
    ],
)
def test_more_than_any_computer_has(allocate: object) -> None:
    assert is_out_of_memory(refused(allocate))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError("std::bad_alloc"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("unable to mmap 4096 bytes from file </x>: Cannot allocate memory (12)"),
        RuntimeError("CUDA error: out of memory"),
        cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 5 bytes"),
    ],
)
def test_other_words_for_it(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(28, "No space left on device"),
        ValueError("clip 'out of memory' is not readable"),
        KeyError("cannot allocate memory"),
    ],
)
def test_what_is_something_else(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_memory_of_this_process_is_measured() -> None:
    assert 2**20 < memory_in_use(torch.device("cpu")) < 2**40
