"""The policy of precision as data: what a training step in O1 computes, and in which dtype.

docs/precision.md shows this table to users; a test keeps both equal.
"""

from collections.abc import Sequence
from enum import Enum
from functools import cache

import attrs
import torch
from precision_walk import Event, Walk


class Computes(Enum):
    """The dtype in which a region's arithmetic is done. Casts and movement of data are not arithmetic."""

    FLOAT32 = "float32"
    LOW = "compute dtype"
    EITHER = "either"
    WIDE = "float32 or float64"


@attrs.frozen(kw_only=True)
class Region:
    """A part of a training step with one rule.

    Attributes:
        name: what messages and the documentation call it.
        computes: the rule.
        where: dotted names of packages, modules or functions; the longest that fits the innermost function counts.
        what: its operations and why they compute in that dtype, for the documentation.
        closed: whether, in the forward pass, nothing of 16 bits even enters, so that no cast up hides a rounding before
            it.
        fused: kernels whose features may have any dtype, since they convert while they read and write. What they
            compute in is the dtype of the statistics beside them: of all tensors of one dimension.
    """

    name: str
    computes: Computes
    where: tuple[str, ...] = ()
    what: str
    closed: bool = False
    fused: frozenset[str] = frozenset()


MATRIX = "convolutions and matrix products"
SUMS = "sums of gradients"

TABLE = (
    Region(
        name=MATRIX,
        computes=Computes.LOW,
        what="of all networks, the perceptual one included, forward and backward: this is where the time is won",
    ),
    Region(
        name="activations",
        computes=Computes.EITHER,
        where=(
            "vs_nets",
            "vs_ops.gelu",
            "vs_ops.hyper_conv2d",
            "vs_ops.label_conv2d.label_conv2d_reference",
            "vs_ops.one_hot",
            "vs_ops.upsample_conv2d",
        ),
        what="leaky ReLU, pooling, up-sampling, sums of features, one-hot labels; in the dtype of what comes in",
    ),
    Region(
        name="modulation by SPADE",
        computes=Computes.EITHER,
        where=("vs_ops.spade",),
        what="scale, shift and leaky ReLU of what has been normalised, in the dtype of features and maps or float32",
    ),
    Region(
        name="sums that stand for a convolution",
        computes=Computes.FLOAT32,
        where=("vs_ops.label_conv2d", "vs_ops.upsample_conv2d._summed"),
        what="of the weights of a label's classes, of the gradients of their pixels, of the taps of an up-sampling "
        "kernel; rounded once",
    ),
    Region(
        name="norm statistics",
        computes=Computes.FLOAT32,
        where=("vs_ops.instance_norm",),
        what="means and variances of instance norm and SPADE: in float16 squares overflow beyond 255, and the mean of "
        "a channel far from zero loses the digits in which its pixels differ",
        fused=frozenset(
            {
                *("aten::native_batch_norm", "aten::native_batch_norm_backward", "aten::batch_norm_update_stats"),
                *("aten::native_layer_norm", "aten::native_layer_norm_backward"),
            }
        ),
    ),
    Region(
        name="spectral norm",
        computes=Computes.FLOAT32,
        closed=True,
        where=(
            "vs_ops.spectral_norm",
            "vs_ops.spectral_normalize_all",
            "vs_ops.singular_values",
            "vs_nets.spectral",
        ),
        what="power iteration, sigma and the division by it: a rounded sigma scales a whole layer, and rounded vectors "
        "stop short of the singular ones",
    ),
    Region(
        name="flow and mask heads",
        computes=Computes.FLOAT32,
        where=("vs_nets.flow._decode",),
        what="pixels of flow and the sigmoid of the mask, behind the convolutions of the heads",
    ),
    Region(
        name="grids and sampling",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_ops.warp",),
        what="coordinates and interpolation of warping, blending: at width 1024 float16 tells half pixels apart, "
        "bfloat16 four pixels",
    ),
    Region(
        name="frames",
        computes=Computes.FLOAT32,
        where=(
            "vs_nets.generator.Generator._to_frame",
            "vs_nets.few_shot.FewShotGenerator._to_frame",
            "vs_nets.generator.Generator._main_branch",
        ),
        what="tanh of the frame, and its blend with the warped one",
    ),
    Region(
        name="softmax and attention",
        computes=Computes.FLOAT32,
        where=(
            "vs_ops.attend",
            "vs_ops.reference_matrix",
            "vs_nets.weight_generator.WeightGenerator.merge",
            "vs_nets.few_shot.FewShotGenerator._weights_for",
        ),
        what="dot products, softmax and sums over positions: exponents magnify the error of a rounded logit",
    ),
    Region(
        name="choice of a reference",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_nets.references.nearest_reference", "vs_nets.references._coarse"),
        what="distances between labels",
    ),
    Region(
        name="image pyramids",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_nets.discriminator.pyramid",),
        what="what the discriminators see at each scale",
    ),
    Region(
        name="loss gan",
        computes=Computes.FLOAT32,
        where=(
            "vs_ops.hinge",
            "vs_nets.objective._hinge_d",
            "vs_nets.objective._hinge_g",
            "vs_nets.objective._mean",
        ),
        what="hinge losses of D and G, of frames, raw frames and over time",
    ),
    Region(
        name="loss feature_matching",
        computes=Computes.FLOAT32,
        where=("vs_ops.feature_matching", "vs_nets.objective._feature_matching"),
        what="differences of the discriminators' features and their means",
    ),
    Region(
        name="loss perceptual",
        computes=Computes.FLOAT32,
        where=("vs_nets.perceptual.Perceptual", "vs_nets.perceptual.Vgg19.normalise"),
        what="the images that the perceptual network sees, differences of its features and their means",
    ),
    Region(
        name="loss flow",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_ops.masked_l1", "vs_nets.objective.flow_losses"),
        what="pixels of flow against the teacher's, and the sum over reference and previous frame",
    ),
    Region(
        name="loss flow_warp",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_nets.objective.warp_losses",),
        what="warped against real frames",
    ),
    Region(
        name="loss flow_mask",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_ops.mask_loss",),
        what="the occlusion mask against how right the warped frame is",
    ),
    Region(
        name="total loss",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_nets.objective.total",),
        what="the weighted sum, and so every loss that enters it",
    ),
    Region(
        name=SUMS,
        computes=Computes.EITHER,
        what="where several readers of a tensor send gradients, in the dtype of that tensor; those of parameters are "
        "float32",
    ),
    Region(
        name="optimizer and loss scale",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_optim", "vs_training"),
        what="scaled losses, unscaled gradients, parameters, both moments of Adam, what is reported",
    ),
    Region(
        name="check of gradients",
        computes=Computes.WIDE,
        closed=True,
        where=tuple(f"vs_optim.gradients.{name}" for name in ("_find", "_norms", "_second_look", "underflow_fraction")),
        what="their norms, whether they and the losses are finite, and how many underflow",
    ),
    Region(
        name="EMA of weights",
        computes=Computes.FLOAT32,
        closed=True,
        where=("vs_ops.ema",),
        what="a step of the EMA is a thousandth of a weight, less than 16 bits can add to it",
    ),
)

SEE_THROUGH = (
    *("vs_ops._layout", "vs_ops._matrices", "vs_ops._precision", "vs_ops._scripting", "vs_ops.dispatch"),
    "vs_runtime",
)
"""What computes on behalf of whoever has called it."""

MATRIX_PRODUCTS = frozenset(
    f"aten::{name}"
    for name in (
        *("convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "linear"),
        *("matmul", "conv2d", "_convolution", "mkldnn_convolution", "_scaled_dot_product_flash_attention_for_cpu"),
    )
)

MOVEMENT = frozenset(
    f"aten::{name}"
    for name in (
        *("_to_copy", "copy_", "clone", "detach", "detach_", "alias", "lift_fresh", "_foreach_copy_"),
        *("view", "_unsafe_view", "_reshape_alias", "as_strided", "expand", "permute", "transpose", "t", "unfold"),
        *("slice", "select", "split", "split_with_sizes", "unbind", "squeeze", "unsqueeze", "index", "repeat", "flip"),
        *("slice_backward", "select_backward", "cat", "stack", "constant_pad_nd", "index_select", "gather"),
        *("arange", "eye", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like", "scalar_tensor", "fill_"),
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "new_zeros", "new_full", "zero_"),
        *("_local_scalar_dense", "promote_types", "is_same_size"),
    )
) | {"profiler::_record_function_enter_new", "profiler::_record_function_exit"}
"""Operators that make, cast or carry values, and compute none."""


def region_of(event: Event, table: Sequence[Region] = TABLE) -> Region | None:
    """The region that an event is part of, or None if the table has none for it."""
    by_name = {region.name: region for region in table}
    for function in event.origin.functions:
        name, region = _owner(function, tuple(table))
        if region is not None:
            features = region.computes is Computes.EITHER
            return by_name[MATRIX] if features and event.operator in MATRIX_PRODUCTS else region
        if not name:
            return None
    return by_name[SUMS] if event.backward else None


@cache
def _owner(function: str, table: tuple[Region, ...]) -> tuple[str, Region | None]:
    """The longest prefix of a function's dotted name that is in the table or seen through, and the region if any."""
    regions = {name: region for region in table for name in region.where}
    name = function
    while name and name not in regions and name not in SEE_THROUGH:
        name = name.rpartition(".")[0]
    return name, regions.get(name)


def rounded(event: Event, region: Region, compute: torch.dtype) -> set[torch.dtype]:
    """The dtypes in which an event deviates from the rule of its region."""
    if event.operator in MOVEMENT:
        dtypes = {dtype for dtype, _ in event.read} if region.closed and not event.backward else set()
    else:
        statistics_only = event.operator in region.fused
        both = (*event.read, *event.returned)
        dtypes = {dtype for dtype, dimensions in both if not statistics_only or dimensions == 1}
    return (
        dtypes
        - {
            Computes.FLOAT32: {torch.float32},
            Computes.LOW: {compute},
            Computes.EITHER: {torch.float32, compute},
            Computes.WIDE: {torch.float32, torch.float64},
        }[region.computes]
    )


def findings(walk: Walk, compute: torch.dtype, table: Sequence[Region] = TABLE) -> list[str]:
    """What a walk did that the table does not allow, a line for each kind of deviation, layers named."""
    found: dict[str, set[str]] = {}
    for event in walk:
        region = region_of(event, table)
        if region is None:
            if event.operator not in MOVEMENT and (event.read or event.returned):
                found.setdefault(f"no region: {_described(event)}", set()).add(event.origin.layer)
        elif wrong := rounded(event, region, compute):
            dtypes = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in wrong))
            found.setdefault(f"{region.name}: {dtypes} in {_described(event)}", set()).add(event.origin.layer)
    return [f"{line}; layers: {', '.join(sorted(layers))}" for line, layers in sorted(found.items())]


def seen(walk: Walk) -> set[str]:
    """Names of the regions in which a walk computed something."""
    computed = (event for event in walk if event.operator not in MOVEMENT and (event.read or event.returned))
    return {region.name for event in computed if (region := region_of(event)) is not None}


def _described(event: Event) -> str:
    function = event.origin.functions[0] if event.origin.functions else "autograd"
    return f"{event.operator} of {function}, {'backward' if event.backward else 'forward'}"


def markdown() -> str:
    """The table as docs/precision.md shows it."""
    rows = (f"| {region.name} | {region.computes.value} | {region.what} |" for region in TABLE)
    return "\n".join(("| region of a training step | computes in | what and why |", "|---|---|---|", *rows))
