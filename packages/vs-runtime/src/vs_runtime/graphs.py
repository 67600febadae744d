"""CUDA graphs: work that is recorded once, and done again by one launch.

What a network of many small kernels waits for on a fast GPU is Python, which launches them one by one. A recorded piece
of work is launched as a whole. It reads and writes the very tensors that it was recorded with; numbers of the host are
what they were then; and nothing in it may wait for the device. PyTorch registers the state of the device's own random
generator with every graph, so that random numbers drawn in it go on from replay to replay.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import attrs
import torch

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False)
class Recorded(Generic[T]):
    """Work that was recorded.

    Attributes:
        result: what the work returned; each replay writes its tensors anew. It has no values before the first.
        replay: do the work once more.
    """

    result: T
    replay: Callable[[], None]


class Recorder(Protocol):
    """Something that records work."""

    def aside(self, work: Callable[[], T]) -> T:
        """Do the work now, as what is to be recorded later must have been done before; return its result."""

    def record(self, work: Callable[[], T]) -> Recorded[T]:
        """Record the work and do not do it. It must have been done `aside` before, and not wait for the device.

        Raises:
            RuntimeError: it cannot be recorded.
        """


class CudaRecorder:
    """CUDA graphs on one device, which share their memory: a graph's tensors are another's, but for results.

    So results are to be copied, or used up, before another graph of this recorder is recorded; all replays are of one
    thread, one after the other.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def aside(self, work: Callable[[], T]) -> T:
        """Do the work now on the stream that records: algorithms are chosen, kernels compiled, workspaces made."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = work()
        current.wait_stream(self._stream)
        return result

    def record(self, work: Callable[[], T]) -> Recorded[T]:
        """Record the work. Other threads, such as one that pins batches, may use the device meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            result = work()
        return Recorded(result=result, replay=graph.replay)
