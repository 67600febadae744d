"""Operators that exported programs may run: computation on tensors by ATen, and arithmetic on sizes.

They are found by their names in a file that may be hostile. One that reads files, changes the process, or trusts
indices and sizes of a file without looking at them is refused.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from vs_config import shown

from vs_data.errors import DataError

_LARGEST_NUMBER = 2**63  # integers of ATen are smaller
_LARGEST_POWER = 64

_ATEN = re.compile(r"torch\.ops\.aten\.([a-z_]\w*)\.([A-Za-z]\w*)")
_INTERNAL = re.compile(  # the only ones whose names begin with an underscore that may be run
    r"__i?(and|or|xor|lshift|rshift)__"
    r"|_(adaptive_avg_pool2d|assert_\w+|cdist_forward|conj|convolution|fft_[cr]2[cr]|local_scalar_dense|log_softmax"
    r"|softmax|to_copy"
    r"|unsafe_index|unsafe_view|upsample_bicubic2d_aa|upsample_bilinear2d_aa|upsample_nearest_exact2d)"
)
# What trusts indices or sizes that a file can make wrong, and no network needs that only computes:
_UNSAFE = re.compile(
    r"\w*(_jvp|backward|cudnn|fbgemm|miopen|mkldnn|nested|qparams|quantiz|sparse)\w*"
    r"|((ccol|col|crow|row)_)?indices|values|coalesce|hspmm|smm|sspaddmm|dequantize|int_repr|q_\w+"
    r"|batch_norm_\w+|native_batch_norm\w*|ctc_loss|segment_reduce|(quantized_)?(gru|lstm|rnn_\w+)_cell"
    r"|data|requires_grad_|resize(_as)?_?|set_?"
)
_CONDITION = re.compile(r"_assert_(async|scalar|tensor_metadata)|sym_constrain_range(_for_size)?")  # these give nothing
_COMPUTED = re.compile(r"((List|Optional)\[)*(Tensor|Sym\w+|Scalar|[nN]umber|int|float|bool|complex)\b")


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that takes numbers alone, and gives none that is larger than a size can be."""

    def run(*arguments: Any) -> Any:
        numbers = arguments[0] if function is torch.sym_sum else arguments
        if not all(isinstance(each, int | float) for each in numbers):
            raise TypeError("arithmetic on sizes is given what is no number")
        too_large = function is operator.pow and abs(arguments[1]) > _LARGEST_POWER
        found = None if too_large else function(*arguments)
        if too_large or (isinstance(found, int) and abs(found) >= _LARGEST_NUMBER):
            raise OverflowError("arithmetic on sizes gives a number that is too large")
        return found

    return run


_ON_NUMBERS: Mapping[str, Callable[..., Any]] = {
    **{
        f"_operator.{name}": _of_numbers(getattr(operator, name))
        for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "pow")
    },
    **{
        f"_operator.{name}": _of_numbers(getattr(operator, name))
        for name in ("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_")
    },
    **{f"_operator.{name}": _of_numbers(getattr(operator, name)) for name in ("abs", "neg", "not_", "pos")},
    **{f"math.{name}": _of_numbers(getattr(math, name)) for name in ("ceil", "floor", "sqrt", "trunc")},
    **{
        f"torch.sym_{name}": _of_numbers(getattr(torch, f"sym_{name}"))
        for name in ("float", "int", "ite", "max", "min", "not", "sum")
    },
}


def _batch_norm(x: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    weight, bias, mean, variance, momentum, epsilon = others
    found = torch.nn.functional.batch_norm(x, mean, variance, weight, bias, False, momentum, epsilon)
    return found, x.new_empty(0), x.new_empty(0)


def _attention(
    query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0, causal: bool = False, **others: Any
) -> tuple[Tensor, Tensor]:
    found = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, is_causal=causal, **others
    )
    return found, query.new_empty(0)


def _weight_norm(direction: Tensor, length: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    norm = torch.norm_except_dim(direction, 2, dim)
    return direction * (length / norm), norm


def _weight_norm_alone(*arguments: Any) -> Tensor:
    return _weight_norm(*arguments)[0]


_CHECKED: Mapping[str, Callable[..., Any]] = {  # where the operators themselves do not look whether sizes agree
    "torch.ops.aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default": _attention,
    "torch.ops.aten._weight_norm.default": _weight_norm_alone,
    "torch.ops.aten._weight_norm_interface.default": _weight_norm,
}


def operator_of(target: str) -> Callable[..., Any]:
    """Return the operator that an exported program calls by a name, if all it does is to compute.

    Raises:
        DataError: Without the file's name: it is none of those that are run.
    """
    if target in _ON_NUMBERS:
        return _ON_NUMBERS[target]
    if target in _CHECKED:
        return _CHECKED[target]
    found = _ATEN.fullmatch(target)
    if found is None or _UNSAFE.fullmatch(found[1]) or (found[1][0] == "_" and not _INTERNAL.fullmatch(found[1])):
        raise _refused(target)
    overload = getattr(getattr(torch.ops.aten, found[1], None), found[2], None)
    if not isinstance(overload, torch._ops.OpOverload):
        raise _refused(target)
    if not torch._C._dispatch_has_kernel(overload.name()):  # TorchScript has others by such names, not on tensors alone
        raise _refused(target)
    schema = overload._schema
    computes = bool(schema.returns) and all(_COMPUTED.match(str(each.type)) for each in schema.returns)
    if any(each.name == "filename" for each in schema.arguments) or not (computes or _CONDITION.fullmatch(found[1])):
        raise _refused(target)
    return overload


def _refused(target: str) -> DataError:
    what = f"uses {shown(target, 80)}, which is not among the operators that are run"
    return DataError(what, fix="export a network of PyTorch's own operators, or write it as ONNX by torch.onnx.export")
