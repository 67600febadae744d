"""Convolution of a map of class ids as if it were one-hot, without making the one-hot map."""

from jaxtyping import Float, Integer
from torch import Tensor

from vs_ops._checks import check_convolution_dtypes, check_ids
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.native.label_conv2d import label_conv2d_native, refuse_native
from vs_ops.reference.label_conv2d import label_conv2d_reference


def label_conv2d(
    ids: Integer[Tensor, "n h w"],
    weight: Float[Tensor, "c_out c k k"],
    bias: Float[Tensor, "c_out"] | None = None,
    *,
    dont_care: bool = False,
    ignore_id: int = 255,
    stride: int = 1,
    padding: int = 0,
    impl: str = "auto",
) -> Float[Tensor, "n c_out h2 w2"]:
    """Convolve the one-hot map of `ids`: every result is the sum of one weight per tap, chosen by the class there.

    Args:
        ids: class ids (N, H, W) of any integer dtype.
        weight: (C_out, C, k, k) for C classes; with `dont_care` for C - 1, and the last channel is that of `ignore_id`.
        bias: (C_out,); None leaves it out.
        dont_care: whether pixels of `ignore_id` have a channel; otherwise they contribute nothing.
        ignore_id: the id of pixels of no class.
        stride: of the convolution, the same on both axes.
        padding: on every side, less than k; what is there contributes nothing.
        impl: which implementation to use.

    It is a convolution: it computes in the dtype of `weight`, or under autocast in autocast's, sums in float32 at
    least, and the result has that dtype. The result is in channels-last order if `weight` is (a kernel of one pixel,
    which is in both orders, counts as contiguous), as the weights of a network in channels-last order are.
    Differentiable in weight and bias, any number of times.

    Raises:
        ClassIdError: an id is neither a class nor `ignore_id`; as in `one_hot`.
        ShapeError: shapes do not fit, or the kernel is larger than the padded `ids`.
        DtypeError: `ids` are not integers, or bias has another dtype than weight and no autocast makes them equal.
        VsOpsError: stride is not positive, or padding is not in [0, k).
    """
    _check(ids, weight, bias, dont_care, stride, padding)
    return select(LABEL_CONV2D, weight, impl)(ids, weight, bias, dont_care, ignore_id, stride, padding)


def _check(ids: Tensor, weight: Tensor, bias: Tensor | None, dont_care: bool, stride: int, padding: int) -> None:
    check_ids("label_conv2d", ids)
    if weight.dim() != 4 or weight.shape[2] != weight.shape[3] or weight.shape[1] < 1 + dont_care:
        classes = "at least one class" + " and one channel more" * dont_care
        raise ShapeError("label_conv2d", f"weight must be (C_out, C, k, k) with C of {classes}", weight=weight)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError("label_conv2d", "bias must be (C_out,)", weight=weight, bias=bias)
    if stride < 1:
        raise VsOpsError("label_conv2d", f"stride must be positive, got {stride}")
    if not 0 <= padding < weight.shape[-1]:
        raise VsOpsError("label_conv2d", f"padding must be in [0, {weight.shape[-1]}), got {padding}")
    if min(ids.shape[1:]) + 2 * padding < weight.shape[-1]:
        raise ShapeError(
            "label_conv2d", f"the kernel is larger than ids with padding {padding}", ids=ids, weight=weight
        )
    check_convolution_dtypes("label_conv2d", "weight", weight, bias=bias)


LABEL_CONV2D = Operator(
    name="label_conv2d",
    implementations=(
        Implementation(name="native", function=label_conv2d_native, refuse=refuse_native),
        Implementation(name="reference", function=label_conv2d_reference),
    ),
    example_shape=(32, 35, 3, 3),
)
