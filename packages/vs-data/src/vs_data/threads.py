"""OpenCV's own threads, and when they must not be there."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Let OpenCV work in the calling thread alone, and end the threads that it keeps; afterwards as it was before."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
