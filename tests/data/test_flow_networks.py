"""Flow by networks: constant ones and one that searches, in both formats; what a program may not hold; workers."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx_files import constant
from torch import nn
from torch.export import Dim
from vs_data import (
    ClipRequest,
    DataError,
    FlowFilesConfig,
    FolderConfig,
    LoaderConfig,
    NetworkFlowConfig,
    PhotometricConfig,
    SegMapsConfig,
    StreetConfig,
    load_clips,
    look_at_folder,
    open_folder,
    open_source,
    write_folder,
)
from vs_data.extract import open_network
from vs_data.flows.networks import network_flow

H, W, FRAMES = 30, 50, 3


class Search(nn.Module):
    """For each pixel of the first frame, the step of at most `reach` pixels to what is most like it in the second."""

    def __init__(self, reach: int = 3) -> None:
        super().__init__()
        self.reach = reach
        steps = [(x, y) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
        self.register_buffer("steps", torch.tensor(steps, dtype=torch.float32).T.contiguous().view(1, 2, -1, 1, 1))

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        r, (height, width) = self.reach, first.shape[-2:]
        wide = F.pad(second, (r, r, r, r), "replicate")
        costs = [
            F.avg_pool2d((first - wide[..., y : y + height, x : x + width]).abs().mean(1, keepdim=True), 5, 1, 2)
            for y in range(2 * r + 1)
            for x in range(2 * r + 1)
        ]
        best = torch.cat(costs, dim=1).argmin(dim=1)
        return (F.one_hot(best, (2 * r + 1) ** 2).movedim(-1, 1)[:, None] * self.steps).sum(dim=2)


def exported(path: Path, network: nn.Module) -> Path:
    frame = torch.rand(1, 3, 32, 48)
    sides = {2: Dim("height", min=8, max=4096), 3: Dim("width", min=8, max=4096)}
    program = torch.export.export(network, (frame, frame), dynamic_shapes=(sides, sides))
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def search(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("search") / "search.pt2", Search())


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    world = StreetConfig(height=32, width=64, sequence_length=FRAMES, val_sequences=1, seed=3)
    root = tmp_path_factory.mktemp("street")
    write_folder(open_source(world, "val"), root, sequences=1)
    return root


def clip_of(root: Path, flow, **request):
    config = FolderConfig(root=str(root), height=32, width=64, labels=(SegMapsConfig(),), flow=flow)
    return open_source(config, "val").read(ClipRequest(sequence=0, start=0, length=FRAMES, **request))


def shift(path: Path, x: float, y: float) -> Path:
    value = np.broadcast_to(np.array([x, y], np.float32)[:, None, None], (2, 8, 8)).copy()
    frames = dict.fromkeys(("first", "second"), ("n", 3, "h", "w"))
    return constant(path, value, frames)


@pytest.mark.parametrize(("units", "expected"), [("pixels", (3.0, -2.0)), ("normalised", (3.0 * 56, -2.0 * 32))])
def test_a_constant_network_gives_its_constant_in_pixels_of_the_frame(tmp_path, texture, units, expected):
    pair = texture((H, W)), texture((H, W), 1)
    path = str(shift(tmp_path / "a.onnx", 3, -2))
    config = NetworkFlowConfig(path=path, units=units, multiple=8, confidence=PhotometricConfig())
    ((flow, trust),) = network_flow([pair], config)
    assert flow.shape == (H, W, 2)
    assert np.allclose(flow, expected, atol=1e-4)  # padded to a multiple, not enlarged
    assert trust.shape == (H, W)


def test_a_network_that_searches_finds_shifts_either_way(search, texture):
    large = texture((H + 6, W + 6))
    before, now = large[3 : 3 + H, 3 : 3 + W], large[1 : 1 + H, 5 : 5 + W]  # now(p) = before(p + (2, -2))
    for first, sign in (("now", 1), ("before", -1)):
        config = NetworkFlowConfig(path=str(search), first=first)
        ((flow, trust),) = network_flow([(before, now)], config)
        inner = flow[6:-6, 6:-6]
        assert (inner == np.array((2, -2)) * sign).all()
        assert trust[6:-6, 6:-6].all()


def test_a_network_agrees_with_the_truth_of_a_world(search, street):
    truth = clip_of(street, FlowFilesConfig())
    found = clip_of(street, NetworkFlowConfig(path=str(search)))
    known = (truth.flow_confidence[1:, 0] > 0) & (truth.flow[1:].abs().amax(1) <= 3)
    trusted = known & (found.flow_confidence[1:, 0] > 0)
    error = (found.flow - truth.flow)[1:].norm(dim=1)
    assert trusted.float().mean() > 0.4
    assert error[trusted].median() < 0.75
    assert error[trusted].mean() < truth.flow[1:].norm(dim=1)[trusted].mean()
    assert found.references is None
    driven = clip_of(street, NetworkFlowConfig(path=str(search)), references=(0,))
    assert torch.equal(driven.references.flow[1, 0], found.flow[1])


def test_what_a_program_takes_is_known(search, tmp_path):
    frame = torch.rand(1, 3, 32, 48)
    program = torch.export.export(Search(1), (frame, frame))
    torch.export.save(program, tmp_path / "a.pt2")
    first, second = (open_network(path) for path in (tmp_path / "a.pt2", search))
    assert [value.shape for value in first.inputs] == [(1, 3, 32, 48)] * 2
    assert [value.shape for value in second.inputs] == [(1, 3, None, None)] * 2
    assert [value.name for value in second.inputs] == ["first", "second"]
    assert second.digest != first.digest


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_give_what_this_process_gives(search, street, method):
    config = FolderConfig(root=str(street), height=32, width=64, flow=NetworkFlowConfig(path=str(search)))
    source = open_folder(config, "train")
    here, there = (
        next(load_clips(source, config, seed=1, length_of=lambda _: 2, stop=1))
        for config in (LoaderConfig(workers=0), LoaderConfig(workers=1, start_method=method))
    )
    assert torch.equal(here.flow, there.flow)
    assert torch.equal(here.flow_confidence, there.flow_confidence)


def test_what_it_costs_is_said_once(search, street):
    config = FolderConfig(root=str(street), height=32, width=64, flow=NetworkFlowConfig(path=str(search)))
    lines = look_at_folder(config, "train")
    assert sum(line.startswith("flow network search.pt2: ") and " ms a pair at 64x32" in line for line in lines) == 1
    assert not any("flow network" in line for line in look_at_folder(config, "val"))


def test_what_is_missing_is_said_in_one_line(street, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"none\.onnx: cannot be read: No such file or directory"):
        clip_of(street, NetworkFlowConfig(path=str(tmp_path / "none.onnx")))
    path = shift(tmp_path / "a.onnx", 1, 1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"an ONNX file needs ONNX Runtime, which is not installed; .*vs-data\[extract"):
        clip_of(street, NetworkFlowConfig(path=str(path)))


def test_a_network_of_something_else_is_refused(street, tmp_path):
    value = np.zeros((3, 8, 8), np.float32)
    path = constant(tmp_path / "a.onnx", value, {"a": ("n", 3, "h", "w"), "b": ("n", 3, "h", "w")})
    with pytest.raises(DataError, match="no output has the shape of flow: out"):
        clip_of(street, NetworkFlowConfig(path=str(path)))


def rewritten(path: Path, target: Path, change) -> Path:
    """Write a copy of a program whose parts are changed by a function of their names and bytes."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target, "w") as copy:
        for entry in archive.infolist():
            copy.writestr(entry.filename, change(entry.filename.partition("/")[2], archive.read(entry)))
    return target


def in_model(change):
    def changed(name: str, data: bytes) -> bytes:
        return json.dumps(change(json.loads(data))).encode() if name.startswith("models/") else data

    return changed


def calling(target: str):
    def change(model):
        model["graph_module"]["graph"]["nodes"][0]["target"] = target
        return model

    return in_model(change)


def formula(text: str):
    def change(model):
        values = model["graph_module"]["graph"]["tensor_values"]["first"]
        values["sizes"][2]["as_expr"]["expr_str"] = text
        return model

    return in_model(change)


def pickled(name: str, data: bytes) -> bytes:
    return data.replace(b'"use_pickle": false', b'"use_pickle": true') if name.endswith("_config.json") else data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (calling("torch.hub.load"), r"calls torch\.hub\.load"),
        (calling("torch.ops.aten.from_file.default"), "calls torch.ops.aten.from_file"),
        (calling("torch.ops.mine.run.default"), "calls torch.ops.mine.run"),
        (calling("_operator.methodcaller"), "calls _operator.methodcaller"),
        (formula("__import__('os').getcwd()"), "has the formula __import__"),
        (formula("Symbol('s1', positive=True).__class__"), "has the formula Symbol"),
        (pickled, "holds tensors that only unpickling brings back"),
    ],
)
def test_programs_that_could_run_something_else_are_not_loaded(search, tmp_path, change, message):
    path = rewritten(search, tmp_path / "bad.pt2", change)
    with pytest.raises(DataError, match=f"is not loaded: it {message}"):
        open_network(path)


def test_guards_and_examples_of_a_program_are_never_looked_at(search, tmp_path):
    def change(name: str, data: bytes) -> bytes:
        if name.startswith("data/sample_inputs/"):
            return b"no tensors at all"
        if not name.startswith("models/"):
            return data
        return json.dumps({**json.loads(data), "guards_code": ["1 / 0"]}).encode()

    network = open_network(rewritten(search, tmp_path / "a.pt2", change))
    feeds = {name: np.zeros((1, 3, 8, 8), np.float32) for name in ("first", "second")}
    assert network.session.run([network.outputs[0].name], feeds)[0].shape == (1, 2, 8, 8)


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"PK\3\4"])
def test_what_is_no_program_is_said_in_one_line(tmp_path, data):
    (tmp_path / "a.pt2").write_bytes(data)
    with pytest.raises(DataError, match=r"is empty|not a readable program of torch\.export"):
        open_network(tmp_path / "a.pt2")


def test_an_archive_of_other_files_is_refused(search, tmp_path):
    data = io.BytesIO(search.read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("search/data/aotinductor/model/a.so", b"x")
    (tmp_path / "a.pt2").write_bytes(data.getvalue())
    with pytest.raises(DataError, match=r"is not loaded: it holds search/data/aotinductor/model/a\.so"):
        open_network(tmp_path / "a.pt2")
