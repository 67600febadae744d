"""A small world that moves exactly, and generators whose scores can be worked out by hand."""

import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from vs_data import REGIONS, ClassIds, Clip, ClipRequest, FloatMaps, References, SequenceInfo, check_request
from vs_eval.app import main
from vs_nets import ClassMap, FloatMap, History, LabelSpec, Synthesis

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


HEAD_SIZE = (16, 40)


class HeadWorld:
    """People of flat colours whose heads move `speed` pixels to the right every frame; all that is known is exact.

    The heads are 8 pixels square. The label is one map, 1 in the head. Driven by another sequence, a person has that
    one's place: the motion of sequence s begins s pixels further right.
    """

    size = HEAD_SIZE
    label_kinds = {"landmarks-dlib68": FloatMaps(channels=1, title="landmarks")}  # noqa: RUF012

    def __init__(self, *lengths: int, speed: int = 2, known: bool = True) -> None:
        self.sequences = tuple(SequenceInfo(name=f"person/{i}", frames=n) for i, n in enumerate(lengths))
        self.speed, self.known = speed, known

    def read_all(self, sequence: int, *references: int, subject: int | None = None) -> Clip:
        frames = self.sequences[sequence].frames
        return self.read(
            ClipRequest(sequence=sequence, start=0, length=frames, references=references, reference_sequence=subject)
        )

    def read(self, request: ClipRequest) -> Clip:
        check_request(self.sequences, request)
        subject = request.sequence if request.reference_sequence is None else request.reference_sequence
        shown = subject if self.known else request.sequence  # who knows no truth shows the driving person
        places = [request.sequence + self.speed * (request.start + t) for t in range(request.length)]
        before = [places[0], *places[:-1]]
        flow, confidence = self.flow(places, before)
        confidence[0] = 0
        regions = torch.stack([self.regions(place) for place in places])
        return Clip(
            frames=self.colours(shown)[regions].movedim(-1, 1),
            labels={"landmarks-dlib68": self.label(regions)},
            flow=flow,
            flow_confidence=confidence,
            references=self.references(request, subject, places),
            regions=regions.byte() if self.known else None,
            name=self.sequences[request.sequence].name,
        )

    def references(self, request: ClipRequest, subject: int, places: Sequence[int]) -> References | None:
        if not request.references:
            return None
        theirs = [subject + self.speed * frame for frame in request.references]
        regions = torch.stack([self.regions(place) for place in theirs])
        pairs = [self.flow(places, [place] * len(places)) for place in theirs]
        flow, confidence = (torch.stack([pair[i] for pair in pairs], 1) for i in (0, 1))
        return References(
            frames=self.colours(subject)[regions].movedim(-1, 1),
            labels={"landmarks-dlib68": self.label(regions)},
            flow=flow if self.known else None,
            flow_confidence=confidence if self.known else None,
        )

    def flow(self, places: Sequence[int], others: Sequence[int]) -> tuple[Tensor, Tensor]:
        """From heads at some places to the same heads elsewhere; what is not the head rests, and is not trusted."""
        flow = torch.zeros(len(places), 2, *HEAD_SIZE)
        confidence = torch.zeros(len(places), 1, *HEAD_SIZE)
        for t, (place, other) in enumerate(zip(places, others, strict=True)):
            flow[t, 0, 2:10, place : place + 8] = other - place
            confidence[t, 0, 2:10, place : place + 8] = 1
        return flow, confidence

    @staticmethod
    def regions(place: int) -> Tensor:
        ids = torch.zeros(HEAD_SIZE, dtype=torch.int64)
        ids[12:] = REGIONS.index("clothes")
        ids[2:5, place : place + 8] = REGIONS.index("hair")
        ids[5:10, place : place + 8] = REGIONS.index("skin")
        ids[7, place + 2 : place + 6] = REGIONS.index("features")
        return ids

    @staticmethod
    def label(regions: Tensor) -> Tensor:
        return torch.isin(regions, torch.tensor([1, 2, 4])).float()[:, None]

    @staticmethod
    def colours(person: int) -> Tensor:
        """(regions, 3); far enough from white for an offset of 0.2."""
        return torch.rand(len(REGIONS), 3, generator=torch.Generator().manual_seed(person)) * 1.6 - 0.9


@pytest.fixture
def heads() -> type[HeadWorld]:
    return HeadWorld


@pytest.fixture
def landmarks() -> LabelSpec:
    return LabelSpec((FloatMap(name="landmarks-dlib68", channels=1, title="landmarks"),))


@pytest.fixture
def labels() -> LabelSpec:
    return LabelSpec((ClassMap(name="seg_maps", classes=CLASSES),))


@pytest.fixture
def world() -> MovingWorld:
    return MovingWorld(6, 4)


@pytest.fixture
def town() -> type[MovingWorld]:
    return MovingWorld


@pytest.fixture
def clip(world: MovingWorld) -> Clip:
    return world.read(ClipRequest(sequence=0, start=0, length=6))


@pytest.fixture
def replay() -> Callable[..., Callable[..., Synthesis]]:
    return replaying


@pytest.fixture
def everything_below() -> Callable[[Path], list[str]]:
    def listed(path: Path) -> list[str]:
        return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))

    return listed


@pytest.fixture
def all_but_the_time() -> Callable[[Path], dict[str, bytes]]:
    def read(report: Path) -> dict[str, bytes]:
        """The files of a report, without the time of measuring."""
        files = {str(path.relative_to(report)): path.read_bytes() for path in report.rglob("*") if path.is_file()}
        files["report.json"], times = re.subn(rb'"measured": "[^"]+"', b"", files["report.json"])
        assert times == 1
        files["report.html"] = re.sub(rb"(?<=<dt>measured</dt><dd>)[^<]+", b"", files["report.html"])
        return files

    return read


@pytest.fixture(autouse=True)
def hasty_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let readers of labels learn next to nothing: what they would cost is not what is tested."""
    monkeypatch.setattr("vs_eval.agreement.STEPS", 1)
    monkeypatch.setattr("vs_eval.agreement.TRAINING_FRAMES", 2)


@pytest.fixture
def run_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Call a command in an empty directory: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    yield call
    signal.signal(signal.SIGTERM, handler)
