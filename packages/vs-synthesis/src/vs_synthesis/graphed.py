"""Streams whose steady step is a CUDA graph: a frame is one launch in place of thousands."""

import attrs
import torch
import vs_nets as nets
from torch import Tensor
from vs_runtime.graphs import CudaRecorder, Recorded, Recorder
from vs_training.tensors import map_tensors, signature, tensors_in

from vs_synthesis.errors import VsSynthesisError
from vs_synthesis.model import Model
from vs_synthesis.stream import Labels, Stream, StreamState, advance, batched, start

WARM_UPS = 2
"""Steps of a clip in its steady state that come before the graph."""


_Given = tuple[Labels, nets.Motion | None]


@attrs.frozen(kw_only=True, eq=False)
class _Step:
    """The graph of a step, and the tensors that it reads: label and motion, and the past, which it also moves on."""

    given: _Given
    state: StreamState
    recorded: Recorded[Tensor]


class GraphedStream:
    """A stream like `Stream`, for labels of one size; one of another size ends its graph, and another is recorded."""

    def __init__(self, stream: Stream, recorder: Recorder) -> None:
        self._stream = stream
        self._recorder = recorder
        self._warm: object = None
        self._count = 0
        self._step: _Step | None = None

    @property
    def state(self) -> StreamState:
        """The past that the next frame goes on from, as a value of its own."""
        return self._stream.state if self._step is None else map_tensors(Tensor.clone, self._step.state)

    @torch.inference_mode()
    def __call__(self, label: Labels, motion: nets.Motion | None = None) -> Tensor:
        """Make the frame of a label, as `Stream` does.

        Raises:
            StreamError, ShapeError: label or motion are not what the model takes; the stream is as it was.
        """
        labels, motion, single = batched(self._stream.model, label, motion)
        given = _on(self._stream.model, (labels, motion))
        if self._step is not None and signature(self._step.given) != signature(given):
            self._stream.state, self._step, self._count = self.state, None, 0
        frame = self._plain(given) if self._step is None else self._replay(self._step, given)
        return frame[0] if single else frame

    def _plain(self, given: _Given) -> Tensor:
        frame = self._recorder.aside(lambda: self._stream(*given))
        kind = signature((given, self._stream.state))
        self._count = self._count + 1 if kind == self._warm else 0
        self._warm = kind
        if self._count >= WARM_UPS:
            self._step = _record(self._recorder, self._stream, given)
        return frame

    def _replay(self, step: _Step, given: _Given) -> Tensor:
        torch._foreach_copy_(list(tensors_in(step.given)), list(tensors_in(given)))
        step.recorded.replay()
        return step.recorded.result.clone()


def start_graphed(
    model: Model, subject: nets.Subject | None = None, *, recorder: Recorder | None = None
) -> GraphedStream:
    """Begin a stream of frames whose steady step is a CUDA graph.

    Args:
        model: makes them.
        subject: of a few-shot model, what `encode_subject` returned.
        recorder: records the graph; None: of the model's device.

    Raises:
        VsSynthesisError: the model is on no GPU.
        StreamError: a few-shot model gets no subject, or another one does.
    """
    if recorder is None and model.device.type != "cuda":
        raise VsSynthesisError(f"CUDA graphs need a GPU, and the model is on {str(model.device)!r}: use start")
    return GraphedStream(start(model, subject), recorder or CudaRecorder(model.device))


def _on(model: Model, given: _Given) -> _Given:
    return map_tensors(lambda x: x.to(model.device), given)


def _record(recorder: Recorder, stream: Stream, given: _Given) -> _Step:
    """Record the step behind the stream's state, which stays what it is until the first replay."""
    own, motion = map_tensors(Tensor.clone, given)
    state = map_tensors(Tensor.clone, stream.state)

    def step() -> Tensor:
        frame, after = advance(stream.model, own, state, stream.subject, motion)
        for old, new in zip(tensors_in(state), tensors_in(after), strict=True):
            old.copy_(new)  # oldest first: each tensor is read before the newer one takes its place
        return frame

    return _Step(given=(own, motion), state=state, recorded=recorder.record(step))
