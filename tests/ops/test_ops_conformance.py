"""Every implementation of every operator against a float64 reference, with tolerances that come from the dtype.

The error may be twice that of the same computation written in plain PyTorch at that dtype, plus a few roundings of the
result. Implementations are collected from the dispatch tables, so that a new one is tested by being there.
"""

import itertools
import math
import zlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from attrs import frozen
from torch import Tensor
from vs_ops import Implementation, Operator
from vs_ops.dispatch import describe

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
LAYOUTS = ("contiguous", "channels_last", "strided")
IMAGES = ((2, 6, 7, 5), (1, 8, 32, 24), (3, 4, 1, 1), (1, 3, 1, 9), (2, 1, 6, 1), (0, 4, 5, 3))
# Generated weights (N, C_out, C_in, k, k), then the height and width of what they convolve.
GENERATED = (
    *((1, 4, 3, 3, 3, 6, 7), (3, 5, 7, 3, 3, 9, 8), (1, 3, 2, 4, 4, 8, 7), (2, 4, 5, 4, 4, 7, 9)),
    *(
        (1, 6, 5, 1, 1, 5, 4),
        (3, 5, 3, 1, 1, 7, 6),
        (2, 1, 1, 1, 1, 1, 1),
        (0, 4, 3, 3, 3, 5, 5),
        (0, 2, 3, 1, 1, 4, 4),
    ),
)
STRIDE_AND_PADDING = {1: (1, 0), 3: (1, 1), 4: (2, 1)}
# Keys of K references (N, K, C, H, W), then the channels of the values.
REFERENCES = (
    *((2, 3, 5, 4, 3, 7), (1, 1, 4, 6, 5, 3), (3, 2, 1, 1, 1, 1), (0, 2, 3, 4, 5, 2)),
    (2, 3, 5, 27, 31, 7),  # large enough for the kernels that avoid the matrix of weights
)


@frozen
class Recipe:
    """How to try one operator: inputs of a shape in float64, the call, and the same in plain PyTorch.

    `decides` is the input that the choice between implementations looks at, the first one by default.
    """

    inputs: Callable[[tuple[int, ...], torch.Generator], dict[str, Tensor]]
    call: Callable[[Callable[..., Any], dict[str, Tensor], str], Any]
    plain: Callable[[dict[str, Tensor]], Any]
    shapes: tuple[tuple[int, ...], ...] = IMAGES
    constants: tuple[str, ...] = ()
    scalar: bool = False
    decides: str = ""


def noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)


def fractional_flow(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Flows that every dtype represents and that keep their distance from pixels, where the gradient jumps."""
    n, _, h, w = shape
    whole = torch.randint(-3, 4, (n, 2, h, w), generator=generator)
    return whole + torch.randint(2, 7, (n, 2, h, w), generator=generator) / 8.0


def plain_warp(image: Tensor, flow: Tensor) -> Tensor:
    """In float32 at least: PyTorch has no sampling kernel below that on every device."""
    wide = torch.promote_types(image.dtype, torch.float32)
    h, w = image.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    position = torch.stack((columns, rows)).to(flow.device, wide) + flow.to(wide)
    sizes = torch.tensor([max(w - 1, 1), max(h - 1, 1)], device=flow.device, dtype=wide)
    grid = 2 * position.permute(0, 2, 3, 1) / sizes - 1
    return F.grid_sample(image.to(wide), grid, padding_mode="border", align_corners=True).to(image.dtype)


def plain_norm(x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean((2, 3), keepdim=True)
    return centred / torch.sqrt(centred.square().mean((2, 3), keepdim=True) + eps)


def plain_spade(inputs: dict[str, Tensor]) -> Tensor:
    x = plain_norm(inputs["x"], 1e-3)
    for name in ("first", "second"):
        gamma, beta = inputs[name].chunk(2, 1)
        x = x * (1 + gamma) + beta
    return F.leaky_relu(x, 0.2)


def spade_inputs(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Large betas keep the result away from the kink of the leaky ReLU, where a rounding decides the gradient."""
    n, c, h, w = shape
    maps = {name: 0.1 * noise((n, 2 * c, h, w), generator) for name in ("first", "second")}
    maps["second"][:, c:] += 16 * torch.randn(n, c, h, w, generator=generator).sign()
    return {"x": noise(shape, generator) + 1, **maps}


def upsampled_spade_inputs(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    n, c, h, w = shape
    return {**spade_inputs((n, c, 2 * h, 2 * w), generator), "x": noise(shape, generator) + 1}


def plain_power_iteration(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    v = F.normalize(inputs["weight"].t() @ inputs["u"], dim=0)
    return F.normalize(inputs["weight"] @ v, dim=0), v


def plain_one_hot(inputs: dict[str, Tensor]) -> Tensor:
    return F.one_hot(inputs["ids"].long(), 5).permute(0, 3, 1, 2).float()


def plain_masked(inputs: dict[str, Tensor]) -> Tensor:
    return ((inputs["a"] - inputs["b"]).abs() * inputs["mask"]).mean()


def plain_blend(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    warped = plain_warp(inputs["image"], inputs["flow"])
    return inputs["mask"] * inputs["hallucinated"] + (1 - inputs["mask"]) * warped, warped


def generated(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    n, c_out, c_in, k, _, h, w = shape
    weight = noise((n, c_out, c_in, k, k), generator)
    return {"x": noise((n, c_in, h, w), generator), "weight": weight, "bias": noise((n, c_out), generator)}


def call_hyper_conv2d(f: Callable[..., Any], i: dict[str, Tensor], impl: str) -> Any:
    stride, padding = STRIDE_AND_PADDING[i["weight"].shape[-1]]
    return f(*i.values(), stride=stride, padding=padding, impl=impl)


def plain_hyper_conv2d(i: dict[str, Tensor]) -> Tensor:
    """All patches times all weights."""
    n, c_out, _, k, _ = i["weight"].shape
    stride, padding = STRIDE_AND_PADDING[k]
    patches = F.unfold(i["x"], k, padding=padding, stride=stride)  # (N, C_in * k * k, L)
    result = i["weight"].flatten(2) @ patches + i["bias"][:, :, None]
    return result.view(n, c_out, (i["x"].shape[2] + 2 * padding - k) // stride + 1, -1)


def references(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    n, k, c, h, w, d = shape
    query, keys = noise((n, c, h, w), generator), noise((n, k, c, h, w), generator)
    return {"query": query, "keys": keys, "values": noise((n, k, d, h, w), generator)}


def plain_attend(i: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Results as precise as they are in `attend`: shares are never less than float32."""
    logits = torch.einsum("nchw,nkcyx->nhwkyx", i["query"], i["keys"])
    weights = logits.flatten(3).softmax(3).view_as(logits)
    shares = weights.sum((4, 5)).permute(0, 3, 1, 2)
    merged = torch.einsum("nhwkyx,nkdyx->ndhw", weights, i["values"])
    return merged, shares.to(torch.promote_types(shares.dtype, torch.float32))


def logits(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    return {"logits": 2 * noise(shape, generator)}


def by_position(f: Callable[..., Any], i: dict[str, Tensor], impl: str) -> Any:
    return f(*i.values(), impl=impl)


RECIPES = {
    "hinge_d_real": Recipe(logits, by_position, lambda i: F.relu(1 - i["logits"]).mean(), scalar=True),
    "hinge_d_fake": Recipe(logits, by_position, lambda i: F.relu(1 + i["logits"]).mean(), scalar=True),
    "hinge_g": Recipe(logits, by_position, lambda i: -i["logits"].mean(), scalar=True),
    "power_iteration": Recipe(
        lambda s, g: {"weight": noise(s, g), "u": noise(s[:1], g), "v": noise(s[1:], g)},
        by_position,
        plain_power_iteration,
        shapes=((5, 7), (1, 3), (16, 36), (1, 1)),
        constants=("weight", "u", "v"),
    ),
    "spectral_normalize": Recipe(
        lambda s, g: {"weight": noise(s, g), "u": noise(s[:1], g), "v": noise((math.prod(s[1:]),), g)},
        by_position,
        lambda i: i["weight"] / (i["u"] @ (i["weight"].flatten(1) @ i["v"])),
        shapes=((5, 3, 4, 4), (4, 7), (1, 3), (6, 2, 1, 1)),
        constants=("u", "v"),
    ),
    "instance_norm": Recipe(
        lambda s, g: {"x": noise(s, g) + 1, "weight": noise(s[1:2], g), "bias": noise(s[1:2], g)},
        lambda f, i, impl: f(*i.values(), eps=1e-3, impl=impl),
        lambda i: plain_norm(i["x"], 1e-3) * i["weight"][:, None, None] + i["bias"][:, None, None],
    ),
    "spade": Recipe(
        spade_inputs,
        lambda f, i, impl: f(i["x"], [i["first"], i["second"]], eps=1e-3, negative_slope=0.2, impl=impl),
        plain_spade,
    ),
    "warp": Recipe(
        lambda s, g: {"image": noise(s, g), "flow": fractional_flow(s, g)},
        by_position,
        lambda i: plain_warp(i["image"], i["flow"]),
    ),
    "warp_and_blend": Recipe(
        lambda s, g: {
            "image": noise(s, g),
            "flow": fractional_flow(s, g),
            "mask": noise((s[0], 1, *s[2:]), g).sigmoid(),
            "hallucinated": noise(s, g),
        },
        by_position,
        plain_blend,
    ),
    "masked_l1": Recipe(
        lambda s, g: {"a": noise(s, g), "b": noise(s, g), "mask": noise((s[0], 1, *s[2:]), g).abs()},
        by_position,
        plain_masked,
        scalar=True,
    ),
    "feature_matching": Recipe(
        lambda s, g: {name: noise(s, g) for name in ("f0", "f1", "f2", "r0", "r1", "r2")},
        lambda f, i, impl: f([[i["f0"], i["f1"]], [i["f2"]]], [[i["r0"], i["r1"]], [i["r2"]]], impl=impl),
        lambda i: sum(F.l1_loss(i[f"f{k}"], i[f"r{k}"]) for k in range(3)) / 2,  # type: ignore[return-value]
        constants=("r0", "r1", "r2"),
        scalar=True,
    ),
    "one_hot": Recipe(
        lambda s, g: {"ids": torch.randint(0, 5, s, generator=g)},
        lambda f, i, impl: f(i["ids"], 5, impl=impl),
        plain_one_hot,
        shapes=((2, 4, 5), (1, 1, 1), (0, 3, 2)),
        constants=("ids",),
    ),
    "hyper_conv2d": Recipe(generated, call_hyper_conv2d, plain_hyper_conv2d, shapes=GENERATED, decides="weight"),
    "reference_matrix": Recipe(
        lambda s, g: {"image": noise(s, g), "label": 2 * noise((s[0], s[1] + 2, *s[2:]), g)},
        by_position,
        lambda i: torch.einsum("nchw,ndhw->ncd", i["image"], i["label"].softmax(1)),
    ),
    "attend": Recipe(references, by_position, plain_attend, shapes=REFERENCES, decides="keys"),
    "gelu": Recipe(
        lambda s, g: {"x": 2 * noise(s, g)},
        by_position,
        lambda i: i["x"] * 0.5 * (1 + torch.erf(i["x"] / math.sqrt(2))),
    ),
}
# Further ways to call an operator.
VARIANTS = {
    "spade": (
        Recipe(
            upsampled_spade_inputs,
            lambda f, i, impl: f(
                i["x"], [i["first"], i["second"]], eps=1e-3, negative_slope=0.2, upsample=True, impl=impl
            ),
            lambda i: plain_spade({**i, "x": F.interpolate(i["x"], scale_factor=2)}),
        ),
    ),
}
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
        roundings = 64 if value.dtype is torch.float64 else 8  # the truth itself is rounded to float64
        allowed = 2 * distance(naive, truth) + roundings * torch.finfo(value.dtype).eps * scale
        assert distance(value, truth) <= allowed
    return True


def recipes_of(operator: Operator) -> tuple[Recipe, ...]:
    return (RECIPES[operator.name], *VARIANTS.get(operator.name, ()))


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
    accepted = [
        check(ops, operator, implementation, recipe, shape=shape, layout=layout, dtype=dtype, device="cpu")
        for recipe in recipes_of(operator)
        for shape in recipe.shapes[: FEW_SHAPES if implementation.name == "inductor" else None]
    ]
    if not any(accepted):
        pytest.skip(f"{implementation.name} refuses {dtype}")


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
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("operator", "implementation"), PAIRS)
def test_it_agrees_with_float64_on_cuda(
    ops: SimpleNamespace, operator: Operator, implementation: Implementation, dtype: torch.dtype
) -> None:
    for recipe in recipes_of(operator):
        for shape in recipe.shapes:
            for layout in LAYOUTS:
                check(ops, operator, implementation, recipe, shape=shape, layout=layout, dtype=dtype, device="cuda")
