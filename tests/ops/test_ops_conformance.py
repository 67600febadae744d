"""Every implementation of every operator against a float64 reference, with tolerances that come from the dtype.

The error may be twice that of the same computation written in plain PyTorch at that dtype, plus a few roundings of the
result. Implementations are collected from the dispatch tables, so that a new one is tested by being there.
"""

import itertools
import zlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import vs_ops
from operator_recipes import RECIPES, Recipe, recipes_of
from torch import Tensor
from vs_ops import Implementation, Operator
from vs_ops.dispatch import describe

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
LAYOUTS = ("contiguous", "channels_last", "strided")
# Compiling takes seconds for every kind of arguments: one kind for every dtype and layout, and only the first shapes.
FOR_COMPILERS = (
    ("contiguous", torch.float32),
    ("channels_last", torch.float32),
    ("channels_last", torch.bfloat16),
    ("strided", torch.float16),
    ("contiguous", torch.float64),
)
FEW_SHAPES = 2
PAIRS = [
    pytest.param(operator, implementation, id=f"{operator.name}-{implementation.name}")
    for operator in vs_ops.OPERATORS
    for implementation in operator.implementations
]


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    if layout == "strided":
        wide = torch.stack((tensor, tensor), dim=-1)
        return wide.movedim(0, -1).contiguous().movedim(-1, 0)[..., 0]  # samples innermost, and gaps
    if layout == "channels_last" and tensor.dim() >= 4:
        return tensor.flatten(0, -4).contiguous(memory_format=torch.channels_last).unflatten(0, tensor.shape[:-3])
    return tensor.clone()


def as_tuple(results: Any) -> tuple[Tensor, ...]:
    return results if isinstance(results, tuple) else (results,)


def run(function: Callable[[dict[str, Tensor]], Any], inputs: dict[str, Tensor], constants: Sequence[str]) -> Any:
    """Results and the gradients of a weighted sum of them, all in float64."""
    leaves = {
        name: tensor.detach().requires_grad_(name not in constants and tensor.is_floating_point())
        for name, tensor in inputs.items()
    }
    results = as_tuple(function(leaves))
    wanted = [leaf for leaf in leaves.values() if leaf.requires_grad]
    if not wanted:
        return results, ()
    generator = torch.Generator().manual_seed(7)
    # Sixteenths, which every dtype represents, so that all runs weigh alike.
    weights = [(torch.randint(-32, 33, each.shape, generator=generator) / 16).to(each) for each in results]
    grads = torch.autograd.grad(results, wanted, weights)
    assert [grad.dtype for grad in grads] == [leaf.dtype for leaf in wanted]
    return results, grads


def distance(value: Tensor, exact: Tensor) -> float:
    assert value.shape == exact.shape
    assert value.isfinite().all()
    return (value.detach().double() - exact).abs().max().item() if exact.numel() else 0.0


def check(
    ops: SimpleNamespace,
    operator: Operator,
    implementation: Implementation,
    recipe: Recipe,
    *,
    shape: tuple[int, ...],
    layout: str,
    dtype: torch.dtype,
    device: str,
) -> bool:
    """Compare, and return True; False if the implementation refuses."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{operator.name}{shape}".encode()))
    given = {
        name: laid_out(tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype), layout)
        for name, tensor in recipe.inputs(shape, generator).items()
    }
    if implementation.refuse(describe(given[recipe.decides or next(iter(given))])) is not None:
        return False
    function = getattr(ops, operator.name)
    results, grads = run(lambda i: recipe.call(function, i, implementation.name), given, recipe.constants)
    wide = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in given.items()}
    exact, exact_grads = run(lambda i: recipe.call(function, i, "reference"), wide, recipe.constants)
    if 0 in shape:
        assert all(each.shape == other.shape for each, other in zip(results, exact, strict=True))
        assert all(not recipe.scalar or each == 0 for each in results)
        return True
    plain, plain_grads = run(lambda i: recipe.plain(i), given, recipe.constants)
    for value, naive, truth in zip((*results, *grads), (*plain, *plain_grads), (*exact, *exact_grads), strict=True):
        scale = max(truth.abs().max().item(), 1.0)
        roundings = 64 if value.dtype is torch.float64 else recipe.roundings  # the truth itself is rounded to float64
        allowed = 2 * distance(naive, truth) + roundings * torch.finfo(value.dtype).eps * scale
        assert distance(value, truth) <= allowed
    return True


def check_all(
    ops: SimpleNamespace,
    operator: Operator,
    implementation: Implementation,
    layouts: Sequence[str],
    dtype: torch.dtype,
    device: str,
) -> None:
    """Compare in all layouts and in all shapes, or the first few for compilers; skip what is refused everywhere."""
    accepted = [
        check(ops, operator, implementation, recipe, shape=shape, layout=layout, dtype=dtype, device=device)
        for layout in layouts
        for recipe in recipes_of(operator)
        for shape in recipe.shapes[: FEW_SHAPES if implementation.name == "inductor" else None]
    ]
    if not any(accepted):
        pytest.skip(f"{implementation.name} refuses {dtype} on {device}")


def test_every_operator_has_a_recipe() -> None:
    assert set(RECIPES) == {operator.name for operator in vs_ops.OPERATORS}


@pytest.mark.parametrize(
    ("operator", "implementation", "layout", "dtype"),
    [
        pytest.param(*pair.values, layout, dtype, id=f"{pair.id}-{layout}-{dtype}")
        for pair in PAIRS
        for layout, dtype in (FOR_COMPILERS if "inductor" in str(pair.id) else itertools.product(LAYOUTS, DTYPES))
    ],
)
def test_it_agrees_with_float64(
    ops: SimpleNamespace, operator: Operator, implementation: Implementation, layout: str, dtype: torch.dtype
) -> None:
    check_all(ops, operator, implementation, (layout,), dtype, "cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "operator",
    [vs_ops.SPADE, vs_ops.INSTANCE_NORM, vs_ops.WARP_AND_BLEND, vs_ops.MASKED_L1, vs_ops.HINGE_D_REAL],
    ids=lambda operator: operator.name,
)
def test_what_is_compiled_agrees_with_float64(ops: SimpleNamespace, operator: Operator, dtype: torch.dtype) -> None:
    """What of the compiled implementations is tested in every run: two shapes, each in another memory format."""
    inductor = next(each for each in operator.implementations if each.name == "inductor")
    recipe = RECIPES[operator.name]
    for shape, layout in zip(recipe.shapes[:FEW_SHAPES], ("contiguous", "channels_last"), strict=True):
        assert check(ops, operator, inductor, recipe, shape=shape, layout=layout, dtype=dtype, device="cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("operator", "implementation"), PAIRS)
def test_it_agrees_with_float64_on_cuda(
    ops: SimpleNamespace, operator: Operator, implementation: Implementation, dtype: torch.dtype
) -> None:
    compiled = [layout for layout, compiled_dtype in FOR_COMPILERS if compiled_dtype is dtype]
    layouts = compiled if implementation.name == "inductor" else LAYOUTS
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # which would round what is compared with
        check_all(ops, operator, implementation, layouts, dtype, "cuda")
