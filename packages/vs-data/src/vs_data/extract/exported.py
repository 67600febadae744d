"""Programs of torch.export (`.pt2`), loaded so that nothing of theirs is run but operators of PyTorch's own library.

PyTorch's reader unpickles parts of such a file, evaluates formulas and guards that are text in it, and finds functions
by their names. So what is given to it is a copy without example inputs, guards and remarks, once all else is known to
be harmless: weights are plain numbers, functions operators of ATen, formulas made of a few words.
"""

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree
from vs_config import shown

from vs_data.errors import DataError
from vs_data.files import read_bytes
from vs_data.threads import one_torch_thread

_EXPECTED = "expected what torch.export.save has written in a PyTorch of this year; or bring the network as ONNX"

_KNOWN_FILES = re.compile(
    r"(data/(weights|constants)/\w+_config\.json|data/weights/weight_\d+|data/constants/tensor_\d+|models/\w+\.json"
    r"|data/sample_inputs/\w+\.pt|archive_format|archive_version|byteorder|\.data/\w+)"
)
_MODEL = re.compile(r"models/\w+\.json")
_EXAMPLES = re.compile(r"data/sample_inputs/\w+\.pt")
_CONFIG = re.compile(r"data/(weights|constants)/\w+_config\.json")

_COMPARED = "eq|ne|lt|le|gt|ge|and_|or_|not_"
_OPERATOR = re.compile(
    rf"torch\.ops\.aten\.(?!from_file)\w+\.\w+|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|getitem|{_COMPARED})"
    r"|torch\.sym_\w+|math\.(ceil|floor|trunc)"
)
_WORDS = (
    "Symbol|Integer|Mul|Add|Pow|Mod|Max|Min|FloorDiv|CleanDiv|CeilDiv|IntTrueDiv|PythonMod|ModularIndexing|CeilToInt"
    "|positive|nonnegative|integer|Eq|Ne|Lt|Le|Gt|Ge|True|False"
)
_FORMULA = re.compile(rf"((\b({_WORDS}|[su]\d+)\b)|'[su]\d+'|[-+*/(),= 0-9])+")
_TREES = re.compile(r'"type":\s*"(?!builtins\.(tuple|list|dict)")')


@attrs.frozen(kw_only=True, eq=False)
class ExportedSession:
    """A program that can be run, as a session of ONNX Runtime is.

    Attributes:
        program: Of torch.export.
        module: What runs it.
        inputs: Names, dtypes and extents of what goes in; None: any extent.
        outputs: The same of the tensors that come out.
    """

    program: Any
    module: Any
    inputs: tuple[tuple[str, str, tuple[int | None, ...]], ...]
    outputs: tuple[tuple[str, str, tuple[int | None, ...]], ...]

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs of some names, computed in the calling thread alone."""
        flat = [torch.from_numpy(np.ascontiguousarray(feeds[name])) for name, _, _ in self.inputs]
        args, kwargs = pytree.tree_unflatten(flat, self.program.call_spec.in_spec)
        with torch.inference_mode(), one_torch_thread():
            leaves = [leaf for leaf in pytree.tree_leaves(self.module(*args, **kwargs)) if isinstance(leaf, Tensor)]
        made = {name: leaf.numpy() for (name, _, _), leaf in zip(self.outputs, leaves, strict=True)}
        return [made[name] for name in names]


def open_exported(path: Path) -> ExportedSession:
    """Open a program of torch.export that takes and returns tensors.

    Raises:
        DataError: it is none, holds what could run other things than operators, or cannot be loaded here.
    """
    data = _harmless(read_bytes(path), path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own deprecations
            program = torch.export.load(io.BytesIO(data))
            module = program.module()
    except Exception as error:  # whatever is wrong with the file, of any class
        first = shown(str(error).strip().partition("\n")[0], 200)
        raise DataError(f"PyTorch cannot load it: {first}", file=str(path), fix=_EXPECTED) from None
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    signature = program.graph_signature
    return ExportedSession(
        program=program,
        module=module,
        inputs=tuple(_described(signature.user_inputs, values)),
        outputs=tuple(_described(signature.user_outputs, values)),
    )


def _described(names: Sequence[Any], values: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[int | None, ...]]]:
    for name in names:
        value = values.get(name)
        if isinstance(value, Tensor):
            shape = tuple(extent if type(extent) is int else None for extent in value.shape)
            yield name, str(value.dtype).removeprefix("torch."), shape


def _harmless(data: bytes, path: Path) -> bytes:
    """Return the archive without what is of no use, once the rest is known to be harmless."""
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(buffer, "w") as copy:
            for entry in archive.infolist():
                name = entry.filename.partition("/")[2]
                if entry.compress_type != zipfile.ZIP_STORED or not _KNOWN_FILES.fullmatch(name):
                    raise _refused(path, f"holds {entry.filename}")
                copy.writestr(zipfile.ZipInfo(entry.filename), _kept(archive.read(entry), name, path))
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RecursionError) as error:
        what = f"not a readable program of torch.export: {shown(str(error), 100)}"
        raise DataError(what, file=str(path), fix=_EXPECTED) from None
    return buffer.getvalue()


def _kept(part: bytes, name: str, path: Path) -> bytes:
    if _EXAMPLES.fullmatch(name):
        return b""
    if _CONFIG.fullmatch(name):
        for entry in json.loads(part)["config"].values():
            if entry["use_pickle"]:
                raise _refused(path, "holds tensors that only unpickling brings back")
        return part
    if not _MODEL.fullmatch(name):
        return part
    model = json.loads(part)
    model["guards_code"] = []
    for place in _dicts_in(model):
        if "metadata" in place and "target" in place:
            place["metadata"] = {}
        _check_dict(place, path)
    return json.dumps(model).encode()


def _dicts_in(value: Any) -> Iterator[dict[str, Any]]:
    match value:
        case dict():
            yield value
            for below in value.values():
                yield from _dicts_in(below)
        case list():
            for below in value:
                yield from _dicts_in(below)


def _check_dict(place: Mapping[str, Any], path: Path) -> None:
    target, formula = place.get("target", ""), place.get("expr_str", "0")
    if "inputs" in place and "target" in place and not _OPERATOR.fullmatch(str(target)):
        raise _refused(path, f"calls {target}")
    if not _FORMULA.fullmatch(str(formula)):
        raise _refused(path, f"has the formula {formula}")
    for spec in (place.get("in_spec"), place.get("out_spec")):
        if spec is not None and _TREES.search(str(spec)):
            raise _refused(path, "takes or returns other things than tensors")


def _refused(path: Path, what: str) -> DataError:
    fix = "only what PyTorch's own operators compute is run; bring the network as ONNX"
    return DataError(shown(f"is not loaded: it {what}", 300), file=str(path), fix=fix)
