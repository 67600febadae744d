"""How the conformance suite tries every operator: inputs in float64, the call, and the same in plain PyTorch."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor

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
# Weights (N, C_out, C, k, k) of label maps of N samples, then the height and width of those.
LABELLED = (
    (2, 3, 25, 3, 3, 6, 7),
    (1, 4, 26, 4, 4, 9, 8),
    (3, 1, 24, 2, 2, 5, 2),
    (2, 2, 30, 1, 1, 3, 4),
    (0, 2, 25, 3, 3, 5, 5),
)
# Small features (N, C_in, H, W), then the channels and the size of the kernel.
UPSAMPLED = ((2, 3, 17, 16, 4, 3), (1, 5, 24, 23, 3, 5), (3, 4, 20, 13, 2, 1), (1, 3, 4, 5, 2, 3), (0, 2, 3, 3, 2, 3))
# Keys of K references (N, K, C, H, W), then the channels of the values.
REFERENCES = (
    *((2, 3, 5, 4, 3, 7), (1, 1, 4, 6, 5, 3), (3, 2, 1, 1, 1, 1), (0, 2, 3, 4, 5, 2)),
    (2, 3, 5, 27, 31, 7),  # large enough for the kernels that avoid the matrix of weights
)


@attrs.frozen
class Recipe:
    """How to try one operator: inputs of a shape in float64, the call, and the same in plain PyTorch.

    `decides` is the input that the choice between implementations looks at, the first one by default; `roundings` is
    how many roundings of the result are allowed beside twice the plain error.
    """

    inputs: Callable[[tuple[int, ...], torch.Generator], dict[str, Tensor]]
    call: Callable[[Callable[..., Any], dict[str, Tensor], str], Any]
    plain: Callable[[dict[str, Tensor]], Any]
    shapes: tuple[tuple[int, ...], ...] = IMAGES
    constants: tuple[str, ...] = ()
    scalar: bool = False
    decides: str = ""
    roundings: int = 8


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


def layers(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Two layers, one of the shape and a linear one."""
    shapes = (tuple(shape), (shape[0] + 2, 3))
    of = {"weight": lambda s: s, "u": lambda s: s[:1], "v": lambda s: (math.prod(s[1:]),)}
    return {f"{name}{i}": noise(of[name](s), generator) for name in of for i, s in enumerate(shapes)}


def spectral_convolution(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Of shape (N, C_in, H, W, C_out, k); the vectors are such that sigma is far from zero."""
    n, c_in, h, w, c_out, k = shape
    weight = noise((c_out, c_in, k, k), generator)
    u = F.normalize(noise((c_out,), generator), dim=0)
    v = F.normalize(weight.flatten(1).t() @ u, dim=0)
    return {
        "x": noise((n, c_in, h, w), generator),
        "weight": weight,
        "bias": noise((c_out,), generator),
        "u": u,
        "v": v,
    }


def call_spectral_conv2d(f: Callable[..., Any], i: dict[str, Tensor], impl: str) -> Tensor:
    stride, padding = STRIDE_AND_PADDING[i["weight"].shape[-1]]
    result: Tensor = f(*i.values(), stride=stride, padding=padding, impl=impl)
    return result


def plain_spectral_conv2d(i: dict[str, Tensor]) -> Tensor:
    weight = i["weight"] / (i["u"] @ (i["weight"].flatten(1) @ i["v"]))
    return F.conv2d(i["x"], weight, i["bias"], *STRIDE_AND_PADDING[weight.shape[-1]])


def in_lists(i: dict[str, Tensor]) -> list[list[Tensor]]:
    return [[i[f"{name}0"], i[f"{name}1"]] for name in ("weight", "u", "v")]


def call_spectral_normalize_all(f: Callable[..., Any], i: dict[str, Tensor], impl: str) -> tuple[Tensor, ...]:
    return tuple(f(*in_lists(i), impl=impl).weights)


def plain_spectral_normalize_all(i: dict[str, Tensor]) -> tuple[Tensor, ...]:
    results = []
    for k in ("0", "1"):
        matrix = i[f"weight{k}"].flatten(1)
        with torch.no_grad():
            v = F.normalize(matrix.t() @ i[f"u{k}"], dim=0)
            u = F.normalize(matrix @ v, dim=0)
        results.append(i[f"weight{k}"] / (u @ (matrix @ v)))
    return tuple(results)


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
    """Results as precise as they are in `attend`: weights of references are never less than float32."""
    logits = torch.einsum("nchw,nkcyx->nhwkyx", i["query"], i["keys"])
    weights = logits.flatten(3).softmax(3).view_as(logits)
    reference_weights = weights.sum((4, 5)).permute(0, 3, 1, 2)
    merged = torch.einsum("nhwkyx,nkdyx->ndhw", weights, i["values"])
    return merged, reference_weights.to(torch.promote_types(reference_weights.dtype, torch.float32))


def labelled(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Ids, of which 99 is none; large biases, beside which one rounding more would be seen."""
    n, c_out, c, k, _, h, w = shape
    ids = torch.randint(-1, c, (n, h, w), generator=generator)
    weight, bias = noise((c_out, c, k, k), generator), 16 * noise((c_out,), generator)
    return {"ids": ids.where(ids >= 0, 99), "weight": weight, "bias": bias}


def call_label_conv2d(f: Callable[..., Any], i: dict[str, Tensor], impl: str) -> Any:
    stride, padding = STRIDE_AND_PADDING.get(i["weight"].shape[-1], (1, 0))
    return f(*i.values(), ignore_id=99, stride=stride, padding=padding, impl=impl)


def plain_label_conv2d(i: dict[str, Tensor]) -> Tensor:
    c = i["weight"].shape[1]
    maps = F.one_hot(i["ids"].clamp(max=c), c + 1)[..., :c].permute(0, 3, 1, 2).to(i["weight"])
    stride, padding = STRIDE_AND_PADDING.get(i["weight"].shape[-1], (1, 0))
    return F.conv2d(maps, i["weight"].contiguous(), i["bias"], stride, padding)


def upsampled(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    n, c_in, h, w, c_out, k = shape
    weight = noise((c_out, c_in, k, k), generator)
    return {"x": noise((n, c_in, h, w), generator), "weight": weight, "bias": noise((c_out,), generator)}


def plain_upsample_conv2d(i: dict[str, Tensor]) -> Tensor:
    large = i["x"].repeat_interleave(2, 2).repeat_interleave(2, 3)
    return F.conv2d(large, i["weight"].contiguous(), i["bias"], padding=i["weight"].shape[-1] // 2)


def masks(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Frames of which some pixels are nearly right and some are wrong."""
    frame = noise(shape, generator)
    warped = frame + 0.6 / max(shape[1], 1) * noise(shape, generator)
    return {"mask": noise((shape[0], 1, *shape[2:]), generator).sigmoid(), "warped": warped, "frame": frame}


def plain_mask_loss(i: dict[str, Tensor]) -> Tensor:
    right = (1 - (i["warped"] - i["frame"]).abs().sum(1, keepdim=True)).clamp(0, 1)
    return (i["mask"].abs() * right).mean() + ((i["mask"] - 1).abs() * (1 - right)).mean()


def moved(f: Callable[..., Any], i: dict[str, Tensor], impl: str, *, scaled: bool = False) -> tuple[Tensor, ...]:
    """Averages of two tensors, which are float32 whatever their values are; `ema` writes into them."""
    averages = [i[name].to(torch.promote_types(i[name].dtype, torch.float32), copy=True) for name in ("a0", "a1")]
    scales = [i["scale"].exp(), i["scale"]] if scaled else None
    assert f(averages, [i["v0"], i["v1"]], weight=0.125, scales=scales, impl=impl) is None
    return tuple(averages)


def plain_ema(i: dict[str, Tensor], *, scaled: bool = False) -> tuple[Tensor, ...]:
    scales = [i["scale"].exp(), i["scale"]] if scaled else [1.0, 1.0]
    wide = torch.promote_types(i["a0"].dtype, torch.float32)
    pairs = ((i["a0"], i["v0"], scales[0]), (i["a1"], i["v1"], scales[1]))
    return tuple(0.875 * average.to(wide) + 0.125 * (value.to(wide) * scale) for average, value, scale in pairs)


def logits(shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    return {"logits": 2 * noise(shape, generator)}


def by_position(f: Callable[..., Any], i: dict[str, Tensor], impl: str) -> Any:
    return f(*i.values(), impl=impl)


EMA_RECIPE = Recipe(
    lambda s, g: {
        "a0": noise(s, g),
        "v0": noise(s, g),
        "a1": noise(s[1:], g),
        "v1": noise(s[1:], g),
        "scale": noise((), g),
    },
    moved,
    plain_ema,
    constants=("a0", "v0", "a1", "v1", "scale"),
)
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
    "spectral_normalize_all": Recipe(
        layers,
        call_spectral_normalize_all,
        plain_spectral_normalize_all,
        shapes=((5, 3, 4, 4), (4, 7), (1, 3), (6, 2, 1, 1)),
        constants=("u0", "u1", "v0", "v1"),
    ),
    "spectral_conv2d": Recipe(
        spectral_convolution,
        call_spectral_conv2d,
        plain_spectral_conv2d,
        shapes=((2, 3, 6, 5, 4, 3), (1, 5, 19, 18, 3, 3), (2, 3, 9, 7, 5, 4), (1, 4, 5, 4, 2, 1), (0, 3, 5, 5, 4, 3)),
        constants=("u", "v"),
        decides="weight",
    ),
    "singular_values": Recipe(
        layers,
        lambda f, i, impl: tuple(f(*in_lists(i), impl=impl)),
        lambda i: tuple(i[f"u{k}"] @ (i[f"weight{k}"].flatten(1) @ i[f"v{k}"]) for k in "01"),
        shapes=((5, 3, 4, 4), (4, 7), (1, 3), (6, 2, 1, 1)),
        constants=("u0", "u1", "v0", "v1"),
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
    "attend": Recipe(references, by_position, plain_attend, shapes=REFERENCES, decides="keys", roundings=16),
    "label_conv2d": Recipe(
        labelled, call_label_conv2d, plain_label_conv2d, shapes=LABELLED, constants=("ids",), decides="weight"
    ),
    "upsample_conv2d": Recipe(upsampled, by_position, plain_upsample_conv2d, shapes=UPSAMPLED),
    "mask_loss": Recipe(masks, by_position, plain_mask_loss, scalar=True),
    "ema": EMA_RECIPE,
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
    "ema": (attrs.evolve(EMA_RECIPE, call=partial(moved, scaled=True), plain=partial(plain_ema, scaled=True)),),
}


def recipes_of(operator: vs_ops.Operator) -> tuple[Recipe, ...]:
    """Every way in which an operator is tried."""
    return (RECIPES[operator.name], *VARIANTS.get(operator.name, ()))
