"""Threads of OpenCV and PyTorch, and when there must not be any."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Let OpenCV work in the calling thread alone, and end the threads that it keeps; afterwards as it was before."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let PyTorch compute in the calling thread alone; afterwards with as many as before.

    A sum depends on how it is divided, and after a fork there are none of the threads that PyTorch remembers.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
