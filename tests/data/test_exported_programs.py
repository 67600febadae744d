"""Exported programs: they compute what their networks do; what is not plain computation is refused, and never run."""

import io
import pickle
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_files import Mix, Shift, damaged, rewritten, save, with_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from vs_data.errors import DataError
from vs_data.extract import open_network
from vs_data.extract.networks import run_network


class Pyramid(nn.Module):
    """What flow networks are made of: convolutions, norms, warping, sizes that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.LeakyReLU(0.1), nn.Dropout(0.5))
        self.norm = nn.BatchNorm2d(8)
        self.decode = nn.ConvTranspose2d(16, 2, 4, 2, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, first, second):
        height, width = first.shape[-2:]
        padded = [F.pad(each, (0, -width % 8, 0, -height % 8)) for each in (first, second)]
        a, b = (self.norm(self.encode(each)) for each in padded)
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, 9), torch.linspace(-1, 1, 7), indexing="ij")
        grid = torch.stack([columns, rows], -1).expand(first.shape[0], -1, -1, -1)
        moved = F.interpolate(F.grid_sample(b, grid, align_corners=True), size=a.shape[-2:], mode="bilinear")
        scores = torch.einsum("nchw,nkhw->nck", a, moved).softmax(-1)
        flow = self.decode(torch.cat([a, torch.einsum("nck,nkhw->nchw", scores, moved)], 1))
        return flow[..., :height, :width], {"large": torch.where(flow.abs() > 1, flow, 0.0).amax((2, 3))}


class Written(nn.Module):
    """Without gradients and autocast, in place, with constants of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 2, 1)

    def forward(self, first, second):
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            half = self.mix(first).chunk(2, 1)
        canvas = torch.empty_like(second)
        canvas.copy_(second)
        canvas[:, 0] = 0.25
        canvas.clamp_(min=0.1)
        return half[0] * torch.tensor([2.0]), half[1], canvas.to(torch.float16), None


def frames(count: int, size: tuple[int, int], batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(batch, 3, *size, generator=generator) for _ in range(count)]


def outputs_of(path: Path, given: list[torch.Tensor], threads: int = 1) -> list[np.ndarray]:
    network = open_network(path, threads=threads)
    names = [value.name for value in network.inputs]
    feeds = dict(zip(names, (each.numpy() for each in given), strict=True))
    return list(run_network(network, feeds).values())


@pytest.fixture(scope="module")
def shift(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("shift") / "shift.pt2", Shift(3, -2), 2)


@pytest.mark.parametrize("size", [(32, 48), (37, 51), (8, 90)])
def test_programs_compute_what_their_networks_do_at_any_size(tmp_path, size):
    torch.manual_seed(0)
    network = Pyramid().eval()
    path = save(tmp_path / "a.pt2", network, 2, (40, 56))
    given = frames(2, size, 3)
    with torch.no_grad():
        flow, more = network(*given)
    found = outputs_of(path, given)
    assert [each.shape for each in found] == [(3, 2, *size), (3, 2)]
    np.testing.assert_allclose(found[0], flow.numpy(), atol=1e-6)
    np.testing.assert_allclose(found[1], more["large"].numpy(), atol=1e-6)


def test_programs_in_place_and_within_programs_compute_what_their_networks_do(tmp_path):
    network = Written().eval()
    path = save(tmp_path / "a.pt2", network, 2, any_size=False)
    given = frames(2, (32, 48))
    before = [each.clone() for each in given]
    with torch.no_grad():
        *expected, nothing = network(*given)
    found = outputs_of(path, given)
    assert nothing is None
    assert [each.dtype for each in found] == [np.float32, np.float32, np.float16]
    for each, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(each, wanted.numpy(), atol=1e-6)
    assert all(map(torch.equal, given, before))  # what goes in is not written into


def test_inputs_and_outputs_say_their_shapes_and_types(shift, tmp_path):
    network = open_network(shift)
    assert str(network).startswith("inputs: first float32 (?, 3, ?, ?), second float32 (?, 3, ?, ?); outputs: ")
    assert [value.shape for value in network.outputs] == [(None, 2, None, None)]
    path = save(tmp_path / "A.PT2", Mix([[1.0, 0.0, 0.0]]), 1, any_size=False)
    assert [(value.dtype, value.shape) for value in open_network(path).outputs] == [("float32", (2, 1, 32, 48))]


def test_nothing_of_the_process_is_changed(tmp_path):
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    path = save(tmp_path / "a.pt2", Noise(), 1)
    given = frames(1, (32, 48))
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    first, second = (outputs_of(path, given, threads=threads + 1)[0] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert (first == second).all()
    assert (first != given[0].numpy()).mean() > 0.9


def test_threads_at_once_do_not_meet(shift):
    network = open_network(shift)
    found = {}

    def run(number: int) -> None:
        given = dict(zip(("first", "second"), (each.numpy() for each in frames(2, (16, 16 + number))), strict=True))
        found[number] = next(iter(run_network(network, given).values())).shape

    workers = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {number: (2, 2, 16, 16 + number) for number in range(8)}


class _Bomb:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "run")


def test_pickles_in_a_file_are_not_read(shift, tmp_path):
    traces = tmp_path / "traces"
    content = io.BytesIO()
    torch.save({"a": _Bomb(traces)}, content)
    path = rewritten(shift, tmp_path / "a.pt2", {"sample_inputs/model.pt": lambda _: content.getvalue()})
    given = frames(2, (32, 48))
    assert outputs_of(path, given)[0].shape == (2, 2, 32, 48)

    def pickled(config: bytes) -> bytes:
        return config.replace(b'"use_pickle": false', b'"use_pickle": true')

    bomb = {"weights/weight_0": lambda _: pickle.dumps(_Bomb(traces)), "model_weights_config.json": pickled}
    with pytest.raises(DataError, match=r"b\.pt2: holds a pickle, step, which is not read; export a network whose"):
        open_network(rewritten(shift, tmp_path / "b.pt2", bomb))
    assert not traces.exists()


def test_text_in_a_file_is_not_evaluated(shift, tmp_path):
    traces = tmp_path / "traces"
    code = f"__import__('pathlib').Path({str(traces)!r}).write_text('run')"

    def change(document) -> None:
        document["guards_code"] = [code]
        document["range_constraints"] = {code: {"min_val": 1, "max_val": None}}
        for meta in document["graph_module"]["graph"]["tensor_values"].values():
            for extent in meta["sizes"]:
                if "as_expr" in extent:
                    extent["as_expr"]["expr_str"] = code

    path = with_model(shift, tmp_path / "a.pt2", change)
    assert outputs_of(path, frames(2, (32, 48)))[0].shape == (2, 2, 32, 48)
    assert not traces.exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "builtins.eval",
        "_operator.methodcaller",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.warn.default",
        "torch.ops.aten._print.default",
        "torch.ops.aten.__class__.mro",
        "torch.ops.aten.add.overloads",
        "torch.ops.aten.add.none",
        "torch.ops.aten.nothing.default",
        "torch.ops.prim.device.default",
        "torch.ops.higher_order.cond",
        "torch.ops.mine.twice.default",
        "torch.ops.aten.add.Tensor\n",
        "torch.ops.aten.get_gradients.default",
        "torch.ops.aten.divmod.int",
        "torch.ops.aten.indices.default",
        "torch.ops.aten.sparse_coo_tensor.indices_size",
        "torch.ops.aten.max_pool2d_with_indices_backward.default",
        "torch.ops.aten.segment_reduce.default",
        "torch.ops.aten.ctc_loss.IntList",
        "torch.ops.aten.mkldnn_rnn_layer.default",
        "torch.ops.aten.native_batch_norm.default",
        "torch.ops.aten.data.default",
        "torch.ops.aten.set_.source_Tensor",
    ],
)
def test_what_is_not_computation_on_tensors_is_refused_before_anything_is_run(shift, tmp_path, target):
    def change(document) -> None:
        document["graph_module"]["graph"]["nodes"][0]["target"] = target

    path = with_model(shift, tmp_path / "a.pt2", change)
    with pytest.raises(
        DataError, match=r"^\S+a\.pt2: uses .*, which is not among the operators that are run; export a"
    ) as caught:
        open_network(path)
    assert "\n" not in str(caught.value)


def _node(target: str, arguments: list, *results: dict) -> dict:
    inputs = [{"name": "", "arg": argument, "kind": 1} for argument in arguments]
    return {"target": target, "inputs": inputs, "outputs": list(results), "metadata": {}}


def _begun_with(path: Path, out: Path, *nodes: dict) -> Path:
    """Write a copy of a program that computes something else first."""

    def change(document) -> None:
        document["graph_module"]["graph"]["nodes"][:0] = nodes

    return with_model(path, out, change)


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("_operator.pow", [{"as_int": 2}, {"as_int": 2**60}], "too large"),
        ("_operator.mul", [{"as_int": 2**40}, {"as_int": 2**40}], "too large"),
        ("_operator.mul", [{"as_string": "a"}, {"as_int": 3}], "is no number"),
        ("_operator.add", [{"as_ints": [1]}, {"as_ints": [1]}], "is no number"),
    ],
)
def test_arithmetic_is_that_of_sizes(shift, tmp_path, target, arguments, message):
    node = _node(target, arguments, {"as_sym_int": {"as_name": "a"}})
    with pytest.raises(DataError, match=rf"a\.pt2: does not run .*{message}"):
        outputs_of(_begun_with(shift, tmp_path / "a.pt2", node), frames(2, (32, 48)))


def _tensor(name: str) -> dict:
    return {"as_tensor": {"name": name}}


@pytest.mark.parametrize(
    ("target", "arguments", "results"),
    [
        (
            "_native_batch_norm_legit_no_training",
            [_tensor("first"), *[_tensor("few")] * 4, {"as_float": 0.1}, {"as_float": 1e-5}],
            3,
        ),
        ("_scaled_dot_product_flash_attention_for_cpu", [_tensor("first"), _tensor("second"), _tensor("few")], 2),
    ],
)
def test_operators_that_do_not_look_at_sizes_are_given_none_that_disagree(shift, tmp_path, target, arguments, results):
    few = _node("torch.ops.aten.ones.default", [{"as_ints": [1]}], _tensor("few"))
    names = [_tensor(f"new{number}") for number in range(results)]
    node = _node(f"torch.ops.aten.{target}.default", arguments, *names)
    with pytest.raises(DataError, match=r"a\.pt2: does not run with first"):
        outputs_of(_begun_with(shift, tmp_path / "a.pt2", few, node), frames(2, (32, 48)))


class Replaced(nn.Module):
    """Whose decompositions are operators that are computed in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
        self.norm = nn.BatchNorm2d(8)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        nn.init.uniform_(self.mix.parametrizations.weight.original0, 0.5, 2)

    def forward(self, first):
        parts = self.norm(self.mix(first)).flatten(2).unflatten(1, (2, 4)).transpose(2, 3)
        return F.scaled_dot_product_attention(parts, parts, parts, scale=0.7)


@pytest.mark.parametrize("decomposed", [False, True])
def test_operators_that_are_replaced_compute_the_same(tmp_path, decomposed):
    torch.manual_seed(0)
    network, given = Replaced().eval(), frames(1, (10, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(network, tuple(given))
        torch.export.save(program.run_decompositions() if decomposed else program, tmp_path / "a.pt2")
    with torch.no_grad():
        expected = network(*given)
    np.testing.assert_allclose(outputs_of(tmp_path / "a.pt2", given)[0], expected.numpy(), atol=1e-5)


def test_operators_of_others_are_refused_by_name(tmp_path):
    with torch.library._scoped_library("mine", "FRAGMENT") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: 2 * x, "CompositeExplicitAutograd")
        library.impl("twice", torch.empty_like, "Meta")

        class Twice(nn.Module):
            def forward(self, x):
                return torch.ops.mine.twice(x)

        path = save(tmp_path / "a.pt2", Twice(), 1)
        with pytest.raises(DataError, match=r"uses torch\.ops\.mine\.twice\.default, which is not among the operators"):
            open_network(path)


class _Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count.add_(1)
        return x + self.count


def test_what_changes_from_frame_to_frame_is_refused(tmp_path):
    path = save(tmp_path / "a.pt2", _Counting(), 1)
    with pytest.raises(
        DataError, match=r"a\.pt2: (changes what it has kept|does not run .*it changes its own weights)"
    ):
        outputs_of(path, frames(1, (32, 48)))


def _set(*keys, value):
    def change(document) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("schema_version", "major", value=9), r"has version 9 of its format; 8 is read; save it again"),
        (
            _set("graph_module", "graph", "nodes", value=None),
            r"is no program as torch\.export\.save writes it; save it",
        ),
        (_set("graph_module", "signature", "output_specs", value=[{"loss_output": {}}]), r"changes what it has kept"),
        (
            _set("graph_module", "signature", "input_specs", 0, value={"token": {}}),
            r"takes token; export a network that",
        ),
    ],
)
def test_what_is_read_otherwise_is_refused_in_one_line(shift, tmp_path, change, message):
    with pytest.raises(DataError, match=rf"^\S+a\.pt2: {message}"):
        open_network(with_model(shift, tmp_path / "a.pt2", change))


def test_weights_that_end_early_are_refused(shift, tmp_path):
    path = rewritten(shift, tmp_path / "a.pt2", {"weights/weight_0": lambda content: content[:4]})
    with pytest.raises(DataError, match=r"a\.pt2: is no program as torch\.export\.save writes it"):
        open_network(path)


def test_archives_of_another_kind_are_refused(tmp_path):
    older, packed = tmp_path / "older.pt2", tmp_path / "packed.pt2"
    with zipfile.ZipFile(older, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/models/model.json", "{}" * 10**6)
    for path, message in ((older, "was saved by an older PyTorch"), (packed, "is compressed")):
        with pytest.raises(DataError, match=message):
            open_network(path)
    with pytest.raises(DataError, match=r"none\.pt2: cannot be read: No such file or directory"):
        open_network(tmp_path / "none.pt2")


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 2**20), value=st.integers(0, 255), keep=st.none() | st.integers(0, 2**15))
def test_damage_is_noticed_or_does_no_harm(shift, tmp_path_factory, at, value, keep):
    path = damaged(shift, tmp_path_factory.getbasetemp() / "damaged.pt2", at, value, keep)
    try:
        found = outputs_of(path, frames(2, (8, 8)))
    except DataError as error:
        found = str(error)
    if isinstance(found, str):
        assert found.startswith(f"{path}: ")
        assert "\n" not in found
    else:
        assert [each.shape for each in found] == [(2, 2, 8, 8)]
