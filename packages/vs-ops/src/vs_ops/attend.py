"""Attention over the positions of several references (Wang et al., NeurIPS 2019)."""

from jaxtyping import Float
from torch import Tensor

from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError
from vs_ops.native.attend import attend_native, refuse_native
from vs_ops.reference.attend import attend_reference


def attend(
    query: Float[Tensor, "n c h w"],
    keys: Float[Tensor, "n k c h w"],
    values: Float[Tensor, "n k d h w"],
    *,
    impl: str = "auto",
) -> tuple[Float[Tensor, "n d h w"], Float[Tensor, "n k h w"]]:
    """Average the values of K references at every position of the query, by attention over all their positions.

    Args:
        query: what a position looks for, (N, C, H, W).
        keys: what the positions of the references offer, (N, K, C, H, W).
        values: what is averaged, (N, K, D, H, W).
        impl: which implementation to use.

    Returns:
        `merged` (N, D, H, W): the mean of the values over all K * H * W positions, weighted by the softmax of the dot
        products of query and keys, which are not scaled. `reference_weights` (N, K, H, W): how much of a position's
        weights lies on each reference; they sum to 1 over K.

    Dot products, softmax and means are float32 (float64 if any is float64), whatever autocast says; `merged` has the
    dtype of `values`, `reference_weights` that of the computation, and both have the memory format of `query`. Dot
    products of any size that float32 holds are safe. Differentiable in all three, by way of both results.

    Raises:
        ShapeError: shapes do not fit, or there is no reference.
    """
    if query.dim() != 4:
        raise ShapeError("attend", "query must be (N, C, H, W)", query=query)
    n, c, h, w = query.shape
    if keys.dim() != 5 or keys.shape != (n, keys.shape[1], c, h, w) or keys.shape[1] == 0:
        raise ShapeError("attend", "keys must be (N, K, C, H, W) with K of at least 1", query=query, keys=keys)
    if values.dim() != 5 or values.shape != (*keys.shape[:2], values.shape[2], h, w):
        raise ShapeError("attend", "values must be (N, K, D, H, W)", keys=keys, values=values)
    return select(ATTEND, keys, impl)(query, keys, values)


ATTEND = Operator(
    name="attend",
    implementations=(
        Implementation(name="native", function=attend_native, refuse=refuse_native),
        Implementation(name="reference", function=attend_reference),
    ),
    example_shape=(1, 2, 128, 64, 64),
)
