"""Exported programs, which `torch.export.save` writes as `.pt2`: read as data, and run operator by operator.

PyTorch's own reader unpickles what lies in such a file and evaluates text in it as Python. What the program computes is
plain, though: a graph in JSON, and weights as bytes. Here nothing else is read, and nothing is run but `operators`, all
of which are looked up before any is. Facts about the format: `torch/_export/serde/schema.py`, version 8.
"""

import json
import operator
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import shown
from vs_config.files import open_regular

from vs_data.errors import DataError
from vs_data.extract.networks import Network, Value, digest_of
from vs_data.extract.operators import operator_of

_SCHEMA = 8  # the part of the version that says what a reader has to know
_MODEL = "/models/model.json"
_OLDER = "serialized_exported_program.json"  # in files of before that schema, whose weights are pickled
_LARGEST_GRAPH = 2**26  # bytes; one of 10,000 operators has a few million
_AGAIN = "save it again by torch.export.save of this PyTorch"

_DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    10: torch.complex64,
    11: torch.complex128,
    12: torch.bool,
    13: torch.bfloat16,
}
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_STRIDED = 7

_PLAIN = "torch.ops.higher_order.wrap_with_set_grad_enabled"  # there are no gradients here anyway
_AUTOCAST = "torch.ops.higher_order.wrap_with_autocast"

_Values = dict[str, Any]
_Get = Callable[[_Values], Any]
_Names = str | tuple[str, ...] | None


@attrs.frozen(kw_only=True, eq=False)
class _Step:
    """An operator, where its arguments come from, what its results are called, and what nobody needs afterwards."""

    run: Callable[..., Any]
    positional: tuple[_Get, ...]
    named: Mapping[str, _Get]
    results: tuple[_Names, ...]
    done: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class _Graph:
    """Steps in their order, and the names of what goes in and comes out."""

    inputs: tuple[_Names, ...]
    steps: tuple[_Step, ...]
    outputs: tuple[_Get, ...]


@attrs.frozen(kw_only=True, eq=False)
class _Program:
    """A graph with its weights and constants, and the names of what goes into it and comes out."""

    graph: _Graph
    kept: Mapping[str, Any]
    outputs: tuple[str, ...]
    device: torch.device
    threads: int


def open_exported(path: Path, device: Literal["cpu", "cuda"] = "cpu", threads: int = 0) -> Network:
    """Open an exported program. Nothing but operators of ATen on tensors and arithmetic on sizes is ever run.

    The conditions that it states about sizes are not evaluated: operators say themselves what they cannot do.

    Args:
        path: The file.
        device: What computes, whatever the program was exported for.
        threads: That compute on a CPU; 0: as many as PyTorch has.

    Raises:
        DataError: It cannot be read, or does something else than compute.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DataError(f"--device {device}: there is none here", fix="choose --device cpu")
    digest = digest_of(path)
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            program, inputs, outputs = _read(archive, torch.device(device), threads)
    except DataError as error:
        raise DataError(error.what, file=str(path), fix=error.fix) from None
    except Exception:  # a file can be wrong in any way
        raise DataError("is no program as torch.export.save writes it", file=str(path), fix=_AGAIN) from None
    return Network(path=path, digest=digest, inputs=inputs, outputs=outputs, compute=partial(_compute, program))


def _read(
    archive: zipfile.ZipFile, device: torch.device, threads: int
) -> tuple[_Program, tuple[Value, ...], tuple[Value, ...]]:
    if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
        raise DataError("is compressed, as torch.export.save writes no program", fix=_AGAIN)
    names = archive.namelist()
    if _OLDER in names:
        raise DataError("was saved by an older PyTorch, with pickled weights, which are not read", fix=_AGAIN)
    (model,) = (name for name in names if name.endswith(_MODEL))
    root = model.removesuffix(_MODEL)
    if archive.getinfo(model).file_size > _LARGEST_GRAPH:
        raise DataError(f"has a graph of more than {_LARGEST_GRAPH >> 20} MiB", fix="export a smaller network")
    document = json.loads(archive.read(model))
    version = document["schema_version"]["major"]
    if version != _SCHEMA:
        raise DataError(f"has version {shown(version, 20)} of its format; {_SCHEMA} is read", fix=_AGAIN)
    if archive.read(f"{root}/byteorder").decode("ascii") != sys.byteorder:
        raise DataError("was saved on a machine of the other byte order", fix="save it again on one like this")
    graph, signature = document["graph_module"]["graph"], document["graph_module"]["signature"]
    stored = _tensors(archive, f"{root}/data/weights", "model_weights_config.json", device)
    stored |= _tensors(archive, f"{root}/data/constants", "model_constants_config.json", device)
    kept, taken = _inputs(signature["input_specs"], stored)
    given = _outputs(signature["output_specs"])
    wanted = [{"as_tensor": {"name": name}} for name in given]
    compiled = _compiled({**graph, "outputs": wanted}, device, frozenset(kept))
    program = _Program(graph=compiled, kept=kept, outputs=given, device=device, threads=threads)
    metas = graph["tensor_values"]
    inputs, outputs = (tuple(_value(name, metas[name]) for name in names) for names in (taken, given))
    return program, inputs, outputs


def _tensors(archive: zipfile.ZipFile, folder: str, config: str, device: torch.device) -> dict[str, Tensor]:
    """Return the tensors of a folder by the names that the model has for them."""
    entries = json.loads(archive.read(f"{folder}/{config}"))["config"]
    for name, entry in entries.items():
        if entry["use_pickle"] is not False:
            what = f"holds a pickle, {shown(name, 60)}, which is not read"
            raise DataError(what, fix="export a network whose weights and constants are plain tensors")
    files = {entry["path_name"] for entry in entries.values()}
    contents = {name: bytearray(archive.read(f"{folder}/{name}")) for name in files}
    tensors = {name: _tensor(contents[entry["path_name"]], entry["tensor_meta"]) for name, entry in entries.items()}
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _tensor(content: bytearray, meta: Mapping[str, Any]) -> Tensor:
    """Return the tensor that bytes are; PyTorch refuses shapes that lead beyond them."""
    dtype = _DTYPES[meta["dtype"]]
    flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
    sizes, strides = ([extent["as_int"] for extent in meta[name]] for name in ("sizes", "strides"))
    return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"])


def _inputs(specs: Sequence[Mapping[str, Any]], stored: Mapping[str, Tensor]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is kept under the graph's names, and the names of what is given each time."""
    kept: dict[str, Any] = {}
    taken: list[str] = []
    for spec in specs:
        ((kind, entry),) = spec.items()
        match kind:
            case "parameter" | "buffer" | "tensor_constant":
                kept[entry["arg"]["name"]] = stored[entry[f"{kind}_name"]]
            case "constant_input":
                ((form, value),) = entry["value"].items()
                kept[entry["name"]] = None if form == "as_none" else value
            case "user_input" if "as_tensor" in entry["arg"]:
                taken.append(entry["arg"]["as_tensor"]["name"])
            case _:
                raise DataError(f"takes {shown(kind, 40)}", fix="export a network that takes tensors alone")
    return kept, tuple(taken)


def _outputs(specs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the tensors that come out, each once."""
    names: dict[str, None] = {}
    for spec in specs:
        ((kind, entry),) = spec.items()
        if kind != "user_output":
            what = f"changes what it has kept ({shown(kind, 40)})"
            raise DataError(what, fix="export it after eval(), and without counters")
        if "as_tensor" in entry["arg"]:
            names[entry["arg"]["as_tensor"]["name"]] = None
    return tuple(names)


def _value(name: str, meta: Mapping[str, Any]) -> Value:
    dtype = str(_DTYPES[meta["dtype"]]).removeprefix("torch.")
    return Value(name=name, dtype=dtype, shape=tuple(extent.get("as_int") for extent in meta["sizes"]))


def _compiled(graph: Mapping[str, Any], device: torch.device, kept: frozenset[str] = frozenset()) -> _Graph:
    """Return a graph whose operators are looked up, and which lets go of what is not needed any more."""
    outputs = graph["outputs"]
    needed = kept.union(*map(_names_in, outputs))
    steps: list[_Step] = []
    for node in reversed(graph["nodes"]):
        step = _step(node, device)
        mentioned = _names_in(node["inputs"]).union(*map(_flat, step.results))
        steps.append(attrs.evolve(step, done=tuple(sorted(mentioned - needed))))
        needed |= mentioned
    return _Graph(
        inputs=tuple(map(_result, graph["inputs"])),
        steps=tuple(reversed(steps)),
        outputs=tuple(_get(each, device) for each in outputs),
    )


def _step(node: Mapping[str, Any], device: torch.device) -> _Step:
    target, inputs = node["target"], node["inputs"]
    results = tuple(map(_result, node["outputs"]))
    if target in (_PLAIN, _AUTOCAST):
        (at,) = (number for number, each in enumerate(inputs) if "as_graph" in each["arg"])
        if target == _AUTOCAST and any(each["arg"].get("as_bool") for each in inputs[:at]):
            raise DataError("uses autocast", fix="export it without")
        run = partial(_called, _compiled(inputs[at]["arg"]["as_graph"]["graph"], device))
        names = tuple(name for each in results for name in _flat(each))
        return _Step(run=run, positional=_gets(inputs[at + 1 :], device), named={}, results=(names,))
    by_name = [each for each in inputs if each["kind"] == 2]  # as ArgumentKind has it
    return _Step(
        run=operator_of(target),
        positional=_gets([each for each in inputs if each["kind"] != 2], device),
        named={each["name"]: _get(each["arg"], device) for each in by_name},
        results=results,
    )


def _gets(inputs: Sequence[Mapping[str, Any]], device: torch.device) -> tuple[_Get, ...]:
    return tuple(_get(each["arg"], device) for each in inputs)


def _get(argument: Mapping[str, Any], device: torch.device) -> _Get:
    """Return the function that finds an argument among the values that there are."""
    ((kind, value),) = argument.items()
    match kind:
        case "as_none":
            return _constantly(None)
        case "as_int" | "as_ints" | "as_int_lists" | "as_bool" | "as_bools" | "as_string" | "as_strings":
            return _constantly(value)
        case "as_float":
            return _constantly(float(value))
        case "as_floats":
            return _constantly([float(each) for each in value])
        case "as_scalar_type":
            return _constantly(_DTYPES[value])
        case "as_memory_format":
            return _constantly(_MEMORY_FORMATS[value])
        case "as_layout" if value == _STRIDED:
            return _constantly(torch.strided)
        case "as_device":
            return _constantly(device)
        case "as_name":
            return operator.itemgetter(value)
        case "as_tensor":
            return operator.itemgetter(value["name"])
        case "as_tensors":
            return partial(_each, [operator.itemgetter(each["name"]) for each in value])
        case "as_sym_int" | "as_sym_float" | "as_sym_bool" | "as_optional_tensor":
            return _get(value, device)
        case "as_sym_ints" | "as_sym_floats" | "as_sym_bools" | "as_optional_tensors":
            return partial(_each, [_get(each, device) for each in value])
    what = f"has an argument that is not read ({shown(kind, 40)})"
    raise DataError(what, fix="write it as ONNX by torch.onnx.export")


def _constantly(value: Any) -> _Get:
    return lambda _: value


def _each(gets: Sequence[_Get], values: _Values) -> list[Any]:
    return [get(values) for get in gets]


def _names_in(argument: Any) -> set[str]:
    """Return the names of values that an argument mentions; a graph has names of its own."""
    match argument:
        case {"as_graph": _}:
            return set()
        case {"as_name": str(name)} | {"as_tensor": {"name": str(name)}}:
            return {name}
        case {"as_tensors": list(each)}:
            return {one["name"] for one in each}
        case dict():
            return set().union(*map(_names_in, argument.values()))
        case list():
            return set().union(*map(_names_in, argument))
    return set()


def _result(output: Mapping[str, Any]) -> _Names:
    match output:
        case {"as_tensor": {"name": str(name)}}:
            return name
        case (
            {"as_sym_int": {"as_name": str(name)}}
            | {"as_sym_float": {"as_name": str(name)}}
            | {"as_sym_bool": {"as_name": str(name)}}
        ):
            return name
        case {"as_tensors": list(each)}:
            return tuple(one["name"] for one in each)
        case {"as_none": _}:
            return None
    raise DataError(f"has a result that is not read ({shown(next(iter(output)), 40)})", fix=_AGAIN)


def _flat(names: _Names) -> tuple[str, ...]:
    return names if isinstance(names, tuple) else () if names is None else (names,)


def _called(graph: _Graph, *arguments: Any) -> tuple[Any, ...]:
    """Return what a graph within a graph gives."""
    values: _Values = {}
    _keep(values, graph.inputs, arguments)
    return _run(graph, values)


def _run(graph: _Graph, values: _Values) -> tuple[Any, ...]:
    for step in graph.steps:
        found = step.run(*_each(step.positional, values), **{name: get(values) for name, get in step.named.items()})
        _keep(values, step.results, (found,) if len(step.results) == 1 else found or ())
        for name in step.done:
            del values[name]
    return tuple(get(values) for get in graph.outputs)


def _keep(values: _Values, names: Sequence[_Names], results: Sequence[Any]) -> None:
    for name, result in zip(names, results, strict=True):
        if isinstance(name, str):
            values[name] = result
        elif name is not None:
            values.update(zip(name, result, strict=True))


def _compute(program: _Program, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the outputs of a program by their names.

    Raises:
        RuntimeError: It does not run with this input, or changes its weights while it runs.
    """
    weights = [each for each in program.kept.values() if isinstance(each, Tensor)]
    before = [weight._version for weight in weights]
    gpus = [torch.cuda.current_device()] if program.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=gpus), _threads(program.threads):
        torch.default_generator.manual_seed(0)  # what is random is the same for each frame, and nobody else notices
        if gpus:
            torch.cuda.manual_seed(0)
        given = {name: torch.tensor(array, device=program.device) for name, array in feeds.items()}
        found = _run(program.graph, {**program.kept, **given})
    if [weight._version for weight in weights] != before:
        raise RuntimeError("it changes its own weights; export it after eval()")
    real = (each.float() if each.dtype == torch.bfloat16 else each for each in found)
    return {name: each.cpu().numpy() for name, each in zip(program.outputs, real, strict=True)}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let as many threads compute, and afterwards as many as before; 0: leave it."""
    before = torch.get_num_threads()
    if count in (0, before):
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
