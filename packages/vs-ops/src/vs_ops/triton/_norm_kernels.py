"""The kernels of instance norm and of SPADE: normalise planes, then scale, shift, modulate, and apply a leaky ReLU.

Everything sees (N, C, L): L pixels, in NCHW or in channels-last order, told apart by strides. A tile is channels x
pixels; the axis of stride one gets neighbouring lanes, so that loads and stores are coalesced in both orders.

Forward: `moments` reads x once and leaves mean and squared deviations of pieces of planes. `normalise` reads x again,
and every map once, merges the pieces of its planes (a few numbers, from cache) and writes the result. Backward: `sums`
reads x, the maps and the upstream gradient, writes the gradients of the maps and leaves sums of pieces; `grad_x` reads
the same again and writes the gradient of x. Only x, the maps, mean and 1 / deviation outlive the forward: normalised
and half-modulated features are recomputed in registers, which costs less than their memory traffic would.

A plane of 512x1024 is cut into pieces where samples times channels are too few to fill a GPU. Pieces are merged by
Chan's formula, in a fixed order, without atomics: results do not change from run to run.

Mean and 1 / deviation of all planes lie one after the other in one tensor, and so do the moments and the sums of
their pieces: fewer arguments are a quicker launch.

Up-sampling is a matter of addresses: the larger x is never made. Its statistics are those of x, every pixel of the
result reads the pixel of x from which it comes, and every pixel of x sums the gradients of the four that come from it.
"""

import triton
import triton.language as tl


@triton.jit
def _merge(mean: tl.tensor, deviations: tl.tensor, count: tl.tensor, total: tl.tensor) -> tl.tensor:
    """Return mean and squared deviations of rows, from those of each row's parts, some maybe empty (Chan, 1979).

    Means are taken relative to the first part's, which is never empty, so that a mean of 1000 costs no digits.
    """
    pivot = tl.sum(tl.where(tl.arange(0, mean.shape[1])[None, :] == 0, mean, 0.0), axis=1)
    offset = tl.where(count > 0, mean - pivot[:, None], 0.0)
    shift = tl.sum(offset * count, axis=1) / total
    apart = offset - shift[:, None]
    return pivot + shift, tl.sum(deviations + apart * apart * count, axis=1)


@triton.jit
def moments(
    x: tl.tensor,
    piece_moments: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    piece: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Find mean and squared deviations of a piece: one read, of which every lane keeps Welford's mean.

    Program (piece, run of channels, sample).
    """
    lane = tl.arange(0, block_l)[None, :]
    channel = tl.program_id(1) * block_c + tl.arange(0, block_c)
    x += tl.program_id(2).to(tl.int64) * stride_n + channel[:, None] * stride_c
    first = tl.program_id(0) * piece
    last = tl.minimum(first + piece, pixels)
    mean = tl.zeros((block_c, block_l), dtype)
    deviation = tl.zeros((block_c, block_l), dtype)
    for start in range(first, last, block_l):
        pixel = start + lane
        inside = (channel[:, None] < channels) & (pixel < last)
        value = tl.load(x + pixel * stride_p, mask=inside, other=0.0).to(dtype)
        delta = tl.where(inside, value - mean, 0.0)
        mean += delta / ((start - first) // block_l + 1).to(dtype)
        deviation += delta * (value - mean)
    seen = (last - first - lane + block_l - 1) // block_l
    merged, deviation = _merge(mean, deviation, seen.to(dtype), (last - first).to(dtype))
    part = (tl.program_id(2) * channels + channel) * tl.num_programs(0) + tl.program_id(0)
    parts = tl.num_programs(2) * channels * tl.num_programs(0)
    tl.store(piece_moments + part, merged, mask=channel < channels)
    tl.store(piece_moments + parts + part, deviation, mask=channel < channels)


@triton.jit
def _modulate(
    y: tl.tensor, gamma_beta: tl.tensor, gamma_at: tl.tensor, beta_at: tl.tensor, inside: tl.tensor, dtype: tl.constexpr
) -> tl.tensor:
    """Modulate a tile; return gamma too."""
    gamma = tl.load(gamma_beta + gamma_at, mask=inside, other=0.0).to(dtype)
    beta = tl.load(gamma_beta + beta_at, mask=inside, other=0.0).to(dtype)
    return y * (1.0 + gamma) + beta, gamma


@triton.jit
def _source(pixel: tl.tensor, width: tl.tensor, upsample: tl.constexpr) -> tl.tensor:
    """Return the pixel of x, `width` wide, that a pixel of the result comes from."""
    if upsample:
        return (pixel // (2 * width) // 2) * width + (pixel % (2 * width)) // 2
    return pixel


@triton.jit
def normalise(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    map0: tl.tensor,
    map1: tl.tensor,
    map2: tl.tensor,
    piece_moments: tl.tensor,
    result: tl.tensor,
    statistics: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    piece: tl.tensor,
    pieces: tl.tensor,
    result_pixels: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    result_stride_n: tl.tensor,
    result_stride_c: tl.tensor,
    result_stride_p: tl.tensor,
    map_stride_n: tl.tensor,
    map_stride_c: tl.tensor,
    map_stride_p: tl.tensor,
    eps: tl.constexpr,
    slope: tl.constexpr,
    upsample: tl.constexpr,
    dtype: tl.constexpr,
    block_s: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Normalise a tile and do what follows; absent vectors and maps are None, and compiled away.

    Program (run of pixels, run of channels, sample). The result has `result_pixels`, x has `pixels`, `width` to a row.
    """
    pixel = tl.program_id(0) * block_l + tl.arange(0, block_l)[None, :]
    channel = tl.program_id(1) * block_c + tl.arange(0, block_c)
    column = channel[:, None]
    sample = tl.program_id(2).to(tl.int64)
    exists = channel < channels
    inside = exists[:, None] & (pixel < result_pixels)

    # Every program merges the pieces of its planes anew: they are few, and in the cache. One stores the statistics.
    part = tl.arange(0, block_s)[None, :]
    plane = sample * channels + channel
    there = exists[:, None] & (part < pieces)
    planes = tl.num_programs(2) * channels
    mean = tl.load(piece_moments + plane[:, None] * pieces + part, mask=there, other=0.0)
    deviation = tl.load(piece_moments + (planes + plane[:, None]) * pieces + part, mask=there, other=0.0)
    count = tl.maximum(tl.minimum(pixels - part * piece, piece), 0).to(dtype)
    mean, deviation = _merge(mean, deviation, count, pixels)
    scale = tl.rsqrt(deviation / pixels + eps)
    if tl.program_id(0) == 0:
        tl.store(statistics + plane, mean, mask=exists)
        tl.store(statistics + planes + plane, scale, mask=exists)

    # What follows happens in registers, so that x and every map are read once.
    at = sample * stride_n + column * stride_c + _source(pixel, width, upsample) * stride_p
    y = (tl.load(x + at, mask=inside, other=0.0).to(dtype) - mean[:, None]) * scale[:, None]
    if weight is not None:
        y *= tl.load(weight + column, mask=exists[:, None], other=0.0).to(dtype)
    if bias is not None:
        y += tl.load(bias + column, mask=exists[:, None], other=0.0).to(dtype)
    gamma_at = sample * map_stride_n + column * map_stride_c + pixel * map_stride_p
    beta_at = gamma_at + channels * map_stride_c
    if map0 is not None:
        y, _ = _modulate(y, map0, gamma_at, beta_at, inside, dtype)
    if map1 is not None:
        y, _ = _modulate(y, map1, gamma_at, beta_at, inside, dtype)
    if map2 is not None:
        y, _ = _modulate(y, map2, gamma_at, beta_at, inside, dtype)
    if slope is not None:
        y = tl.where(y > 0.0, y, y * slope)
    at = sample * result_stride_n + column * result_stride_c + pixel * result_stride_p
    tl.store(result + at, y.to(result.dtype.element_ty), mask=inside)


@triton.jit
def _unmodulate(
    grad: tl.tensor,
    y: tl.tensor,
    gamma: tl.tensor,
    grad_map: tl.tensor,
    gamma_at: tl.tensor,
    beta_at: tl.tensor,
    inside: tl.tensor,
) -> tl.tensor:
    """Go back through one modulation of `y`: store the map's gradient if that is wanted, return that of `y`."""
    if grad_map is not None:
        tl.store(grad_map + gamma_at, (grad * y).to(grad_map.dtype.element_ty), mask=inside)
        tl.store(grad_map + beta_at, grad.to(grad_map.dtype.element_ty), mask=inside)
    return grad * (1.0 + gamma)


@triton.jit
def _back_to_normalised(
    grad: tl.tensor,
    y: tl.tensor,
    map0: tl.tensor,
    map1: tl.tensor,
    map2: tl.tensor,
    grad0: tl.tensor,
    grad1: tl.tensor,
    grad2: tl.tensor,
    gamma_at: tl.tensor,
    beta_at: tl.tensor,
    inside: tl.tensor,
    slope: tl.constexpr,
    dtype: tl.constexpr,
) -> tl.tensor:
    """Return the gradient in the normalised `y`, through what follows, which is computed again on the way."""
    before0 = y
    if map0 is not None:
        y, gamma0 = _modulate(y, map0, gamma_at, beta_at, inside, dtype)
    before1 = y
    if map1 is not None:
        y, gamma1 = _modulate(y, map1, gamma_at, beta_at, inside, dtype)
    before2 = y
    if map2 is not None:
        y, gamma2 = _modulate(y, map2, gamma_at, beta_at, inside, dtype)
    if slope is not None:
        grad = tl.where(y > 0.0, grad, grad * slope)
    if map2 is not None:
        grad = _unmodulate(grad, before2, gamma2, grad2, gamma_at, beta_at, inside)
    if map1 is not None:
        grad = _unmodulate(grad, before1, gamma1, grad1, gamma_at, beta_at, inside)
    if map0 is not None:
        grad = _unmodulate(grad, before0, gamma0, grad0, gamma_at, beta_at, inside)
    return grad


@triton.jit
def sums(
    grad: tl.tensor,
    x: tl.tensor,
    map0: tl.tensor,
    map1: tl.tensor,
    map2: tl.tensor,
    statistics: tl.tensor,
    grad0: tl.tensor,
    grad1: tl.tensor,
    grad2: tl.tensor,
    piece_sums: tl.tensor,
    channels: tl.tensor,
    result_pixels: tl.tensor,
    piece: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    grad_stride_n: tl.tensor,
    grad_stride_c: tl.tensor,
    grad_stride_p: tl.tensor,
    map_stride_n: tl.tensor,
    map_stride_c: tl.tensor,
    map_stride_p: tl.tensor,
    slope: tl.constexpr,
    upsample: tl.constexpr,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Sum g and g * y of a piece of the result, and store the gradients of the maps.

    Program (piece of the result, run of channels, sample). y is normalised, and g the gradient in y, or, where there
    are a weight and a bias, in y * weight + bias.
    """
    channel = tl.program_id(1) * block_c + tl.arange(0, block_c)
    column = channel[:, None]
    sample = tl.program_id(2).to(tl.int64)
    exists = channel < channels
    plane = sample * channels + channel
    planes = tl.num_programs(2) * channels
    mean = tl.load(statistics + plane, mask=exists, other=0.0)[:, None]
    scale = tl.load(statistics + planes + plane, mask=exists, other=0.0)[:, None]
    first = tl.program_id(0) * piece
    last = tl.minimum(first + piece, result_pixels)
    grad_sum = tl.zeros((block_c, block_l), dtype)
    product_sum = tl.zeros((block_c, block_l), dtype)
    for start in range(first, last, block_l):
        pixel = start + tl.arange(0, block_l)[None, :]
        inside = exists[:, None] & (pixel < last)
        at = sample * stride_n + column * stride_c + _source(pixel, width, upsample) * stride_p
        grad_at = sample * grad_stride_n + column * grad_stride_c + pixel * grad_stride_p
        gamma_at = sample * map_stride_n + column * map_stride_c + pixel * map_stride_p
        beta_at = gamma_at + channels * map_stride_c
        y = (tl.load(x + at, mask=inside, other=0.0).to(dtype) - mean) * scale
        g = tl.load(grad + grad_at, mask=inside, other=0.0).to(dtype)
        g = _back_to_normalised(
            g, y, map0, map1, map2, grad0, grad1, grad2, gamma_at, beta_at, inside, slope, dtype
        )  # zero outside, where the upstream gradient is
        grad_sum += g
        product_sum += g * y
    part = plane * tl.num_programs(0) + tl.program_id(0)
    tl.store(piece_sums + part, tl.sum(grad_sum, axis=1), mask=exists)
    tl.store(piece_sums + planes * tl.num_programs(0) + part, tl.sum(product_sum, axis=1), mask=exists)


@triton.jit
def grad_x(
    grad: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    map0: tl.tensor,
    map1: tl.tensor,
    map2: tl.tensor,
    statistics: tl.tensor,
    piece_sums: tl.tensor,
    result: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    pieces: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    grad_stride_n: tl.tensor,
    grad_stride_c: tl.tensor,
    grad_stride_p: tl.tensor,
    map_stride_n: tl.tensor,
    map_stride_c: tl.tensor,
    map_stride_p: tl.tensor,
    slope: tl.constexpr,
    upsample: tl.constexpr,
    dtype: tl.constexpr,
    block_s: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Store scale * weight * (g - mean(g) - y * mean(g * y)), the gradient in x.

    Program (run of pixels of x, run of channels, sample). With up-sampling g is the sum over the four pixels of the
    result that come from one of x; means are per pixel of x.
    """
    pixel = tl.program_id(0) * block_l + tl.arange(0, block_l)[None, :]
    channel = tl.program_id(1) * block_c + tl.arange(0, block_c)
    column = channel[:, None]
    sample = tl.program_id(2).to(tl.int64)
    exists = channel < channels
    inside = exists[:, None] & (pixel < pixels)
    plane = sample * channels + channel
    planes = tl.num_programs(2) * channels
    mean = tl.load(statistics + plane, mask=exists, other=0.0)[:, None]
    scale = tl.load(statistics + planes + plane, mask=exists, other=0.0)[:, None]

    # Both means, from the sums of the pieces of its planes.
    part = tl.arange(0, block_s)[None, :]
    there = exists[:, None] & (part < pieces)
    at = plane[:, None] * pieces + part
    mean_grad = tl.sum(tl.load(piece_sums + at, mask=there, other=0.0), axis=1)[:, None] / pixels
    product_at = planes * pieces + at
    mean_product = tl.sum(tl.load(piece_sums + product_at, mask=there, other=0.0), axis=1)[:, None] / pixels

    # g is computed again, which costs less than to have kept it.
    at = sample * stride_n + column * stride_c + pixel * stride_p
    y = (tl.load(x + at, mask=inside, other=0.0).to(dtype) - mean) * scale
    g = tl.zeros((block_c, block_l), dtype)
    for corner in tl.static_range(4 if upsample else 1):
        if upsample:
            target = (2 * (pixel // width) + corner // 2) * (2 * width) + 2 * (pixel % width) + corner % 2
        else:
            target = pixel
        grad_at = sample * grad_stride_n + column * grad_stride_c + target * grad_stride_p
        gamma_at = sample * map_stride_n + column * map_stride_c + target * map_stride_p
        beta_at = gamma_at + channels * map_stride_c
        part_g = tl.load(grad + grad_at, mask=inside, other=0.0).to(dtype)
        g += _back_to_normalised(part_g, y, map0, map1, map2, None, None, None, gamma_at, beta_at, inside, slope, dtype)
    if weight is not None:
        scale *= tl.load(weight + column, mask=exists[:, None], other=0.0).to(dtype)
    g = scale * (g - mean_grad - y * mean_product)
    tl.store(result + at, g.to(result.dtype.element_ty), mask=inside)
