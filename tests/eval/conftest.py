"""A small world that moves exactly, and generators whose scores can be worked out by hand."""

from collections.abc import Callable

import pytest
import torch
from vs_data import ClassIds, Clip, ClipRequest, SequenceInfo, check_request
from vs_nets import ClassMap, History, LabelSpec, Synthesis

HEIGHT, WIDTH, SPEED, CLASSES = 16, 48, 2, 5


class MovingWorld:
    """A source of clips that show a random world moving `SPEED` pixels to the left every frame, with exact flow."""

    size = (HEIGHT, WIDTH)
    label_kinds = {"seg_maps": ClassIds(classes=CLASSES, ignore_id=255)}  # noqa: RUF012

    def __init__(self, *lengths: int) -> None:
        self.sequences = tuple(SequenceInfo(name=f"town/{i}", frames=n) for i, n in enumerate(lengths))

    def read_all(self, sequence: int) -> Clip:
        return self.read(ClipRequest(sequence=sequence, start=0, length=self.sequences[sequence].frames))

    def read(self, request: ClipRequest) -> Clip:
        info = check_request(self.sequences, request)
        generator = torch.Generator().manual_seed(request.sequence)
        blocks = torch.rand(3, HEIGHT // 4, 60, generator=generator) * 2 - 1
        ids = torch.randint(0, CLASSES, (HEIGHT // 4, 60), generator=generator)
        world, classes = (x.repeat_interleave(4, -1).repeat_interleave(4, -2) for x in (blocks, ids))
        views = [slice(SPEED * (request.start + t), SPEED * (request.start + t) + WIDTH) for t in range(request.length)]
        flow = torch.zeros(request.length, 2, HEIGHT, WIDTH)
        confidence = torch.zeros(request.length, 1, HEIGHT, WIDTH)
        flow[1:, 0] = SPEED
        confidence[1:, :, :, :-SPEED] = 1.0
        return Clip(
            frames=torch.stack([world[:, :, view] for view in views]),
            labels={"seg_maps": torch.stack([classes[:, view] for view in views])},
            flow=flow,
            flow_confidence=confidence,
            name=info.name,
        )


def replaying(clip: Clip, *, offset: float, guess: float | None, past: int = 2) -> Callable[..., Synthesis]:
    """A generator that returns the real frames, brighter by `offset`, and moves the past by `guess` pixels."""
    state = {"frame": 0}

    def generate(label: torch.Tensor, history: History) -> Synthesis:
        assert label.shape == (1, CLASSES, HEIGHT, WIDTH)
        assert len(history.frames) == min(state["frame"], past)
        frame = clip.frames[state["frame"]][None] + offset
        state["frame"] += 1
        if guess is None or len(history.frames) < past:
            return Synthesis(frame=frame)
        flow = torch.zeros(1, 2, HEIGHT, WIDTH)
        flow[:, 0] = guess
        warped = history.frames[-1].roll(-SPEED, dims=-1)
        return Synthesis(frame=frame, flow=flow, mask=torch.full((1, 1, HEIGHT, WIDTH), 0.25), warped=warped)

    return generate


@pytest.fixture
def labels() -> LabelSpec:
    return LabelSpec((ClassMap(name="seg_maps", classes=CLASSES),))


@pytest.fixture
def world() -> MovingWorld:
    return MovingWorld(6, 4)


@pytest.fixture
def clip(world: MovingWorld) -> Clip:
    return world.read(ClipRequest(sequence=0, start=0, length=6))


@pytest.fixture
def replay() -> Callable[..., Callable[..., Synthesis]]:
    return replaying
