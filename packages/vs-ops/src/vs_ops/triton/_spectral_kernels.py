"""The kernels of spectral normalisation of all layers of a network: see `spectral_normalize_all`.

Addresses are int64 numbers, one per layer. The table says of every layer its sizes, where its vectors begin, and for
four kinds of programs the first one and how many there are.
"""

import triton
import triton.language as tl

_ROWS_AT: tl.constexpr = tl.constexpr(0)
_COLUMNS_AT: tl.constexpr = tl.constexpr(1)
_CHANNELS_AT: tl.constexpr = tl.constexpr(2)
_TAPS_AT: tl.constexpr = tl.constexpr(3)
_U_AT: tl.constexpr = tl.constexpr(4)
_V_AT: tl.constexpr = tl.constexpr(5)
_PROGRAMS_AT: tl.constexpr = tl.constexpr(6)
_FIELDS: tl.constexpr = tl.constexpr(14)
"""Fields of a layer in the table: sizes, where its vectors are, first program and number of four kinds."""
_BACK: tl.constexpr = tl.constexpr(0)
_FORTH: tl.constexpr = tl.constexpr(1)
_ELEMENTS: tl.constexpr = tl.constexpr(2)
_PIECES: tl.constexpr = tl.constexpr(3)


@triton.jit
def _field(table: tl.tensor, layer: tl.tensor, field: tl.constexpr) -> tl.tensor:
    return tl.load(table + layer * _FIELDS + field)


@triton.jit
def _own(table: tl.tensor, layers: tl.tensor, kind: tl.constexpr) -> tl.tensor:
    """Return the layer of this program, and which of the layer's programs it is."""
    layer = tl.load(layers + tl.program_id(0))
    return layer, tl.program_id(0) - _field(table, layer, _PROGRAMS_AT + 2 * kind)


@triton.jit
def _sum_of(
    partials: tl.tensor,
    table: tl.tensor,
    layer: tl.tensor,
    kind: tl.constexpr,
    dtype: tl.constexpr,
    lanes: tl.constexpr,
) -> tl.tensor:
    """Return the sum of what the layer's programs of a kind have left."""
    first = _field(table, layer, _PROGRAMS_AT + 2 * kind)
    count = _field(table, layer, _PROGRAMS_AT + 2 * kind + 1)
    lane = tl.arange(0, lanes)
    total = tl.zeros((lanes,), dtype)
    for start in range(0, count, lanes):
        total += tl.load(partials + first + start + lane, mask=start + lane < count, other=0.0)
    return tl.sum(total, axis=0)


@triton.jit
def _matrix(addresses: tl.tensor, layer: tl.tensor, element: tl.constexpr) -> tl.tensor:
    return tl.load(addresses + layer).to(tl.pointer_type(element))


@triton.jit
def _place(column: tl.tensor, channels: tl.tensor, taps: tl.tensor) -> tl.tensor:
    """Return where in a right vector the number for a column in memory is; there (tap, channel) is the order."""
    return column % channels * taps + column // channels


@triton.jit
def back(
    addresses: tl.tensor,
    table: tl.tensor,
    layers: tl.tensor,
    vectors: tl.tensor,
    ys: tl.tensor,
    y_sums: tl.tensor,
    zs: tl.tensor,
    z_sums: tl.tensor,
    eps: tl.constexpr,
    element: tl.constexpr,
    dtype: tl.constexpr,
    block_r: tl.constexpr,
    block_c: tl.constexpr,
    lanes: tl.constexpr,
) -> None:
    """Compute some columns of z = W^T u, and their sum of squares; u is given, or, with `ys`, y over its norm."""
    layer, own = _own(table, layers, _BACK)
    rows, columns = _field(table, layer, _ROWS_AT), _field(table, layer, _COLUMNS_AT)
    matrix = _matrix(addresses, layer, element)
    column = own * block_c + tl.arange(0, block_c)
    at_u = _field(table, layer, _U_AT)
    divisor = 1.0
    if ys is not None:
        divisor = tl.maximum(tl.sqrt(_sum_of(y_sums, table, layer, _FORTH, dtype, lanes)), eps)
    total = tl.zeros((block_r, block_c), dtype)
    for start in range(0, rows, block_r):
        row = start + tl.arange(0, block_r)
        if ys is not None:
            u = tl.load(ys + at_u + row, mask=row < rows, other=0.0) / divisor
        else:
            u = tl.load(vectors + at_u + row, mask=row < rows, other=0.0)
        inside = (row < rows)[:, None] & (column < columns)[None, :]
        tile = tl.load(matrix + row[:, None] * columns + column[None, :], mask=inside, other=0.0).to(dtype)
        total += tile * u[:, None]
    z = tl.sum(total, axis=0)
    tl.store(zs + _field(table, layer, _V_AT) + column, z, mask=column < columns)
    tl.store(z_sums + tl.program_id(0), tl.sum(z * z, axis=0))


@triton.jit
def forth(
    addresses: tl.tensor,
    table: tl.tensor,
    layers: tl.tensor,
    vectors: tl.tensor,
    lefts: tl.tensor,
    zs: tl.tensor,
    z_sums: tl.tensor,
    ys: tl.tensor,
    y_sums: tl.tensor,
    eps: tl.constexpr,
    element: tl.constexpr,
    dtype: tl.constexpr,
    block_r: tl.constexpr,
    block_c: tl.constexpr,
    lanes: tl.constexpr,
) -> None:
    """Compute some rows of y = W v. v is z over its norm, which is stored, and the sum of squares of y is left behind.

    Without `zs` v is given, nothing but y is stored, and the sum of u y left behind. The left vectors of all layers,
    `lefts` numbers, come first among the vectors.
    """
    layer, own = _own(table, layers, _FORTH)
    rows, columns = _field(table, layer, _ROWS_AT), _field(table, layer, _COLUMNS_AT)
    channels, taps = _field(table, layer, _CHANNELS_AT), _field(table, layer, _TAPS_AT)
    at_u, at_v = _field(table, layer, _U_AT), _field(table, layer, _V_AT)
    matrix = _matrix(addresses, layer, element)
    row = own * block_r + tl.arange(0, block_r)
    divisor = 1.0
    if zs is not None:
        divisor = tl.maximum(tl.sqrt(_sum_of(z_sums, table, layer, _BACK, dtype, lanes)), eps)
    total = tl.zeros((block_r, block_c), dtype)
    for start in range(0, columns, block_c):
        column = start + tl.arange(0, block_c)
        exists = column < columns
        place = vectors + lefts + at_v + _place(column, channels, taps)
        if zs is not None:
            v = tl.load(zs + at_v + column, mask=exists, other=0.0) / divisor
            tl.store(place, v, mask=column < tl.where(own == 0, columns, 0))
        else:
            v = tl.load(place, mask=exists, other=0.0)
        inside = (row < rows)[:, None] & exists[None, :]
        tile = tl.load(matrix + row[:, None] * columns + column[None, :], mask=inside, other=0.0).to(dtype)
        total += tile * v[None, :]
    y = tl.sum(total, axis=1)
    tl.store(ys + at_u + row, y, mask=row < rows)
    other = y
    if zs is None:
        other = tl.load(vectors + at_u + row, mask=row < rows, other=0.0)
    tl.store(y_sums + tl.program_id(0), tl.sum(y * other, axis=0))


@triton.jit
def divide(
    addresses: tl.tensor,
    table: tl.tensor,
    result_addresses: tl.tensor,
    layers: tl.tensor,
    vectors: tl.tensor,
    ys: tl.tensor,
    y_sums: tl.tensor,
    scales: tl.tensor,
    eps: tl.constexpr,
    iterated: tl.constexpr,
    element: tl.constexpr,
    result: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
    lanes: tl.constexpr,
) -> None:
    """Compute W / sigma, one block per program; the first one of a layer stores u, y over its norm, and 1 / sigma."""
    layer, own = _own(table, layers, _ELEMENTS)
    rows, columns = _field(table, layer, _ROWS_AT), _field(table, layer, _COLUMNS_AT)
    summed = _sum_of(y_sums, table, layer, _FORTH, dtype, lanes)
    scale = 1.0 / summed
    if iterated:
        norm = tl.sqrt(summed)
        divisor = tl.maximum(norm, eps)
        scale = 1.0 / (norm * (norm / divisor))
        if own == 0:
            at_u = _field(table, layer, _U_AT)
            for start in range(0, rows, lanes):
                row = start + tl.arange(0, lanes)
                y = tl.load(ys + at_u + row, mask=row < rows, other=0.0)
                tl.store(vectors + at_u + row, y / divisor, mask=row < rows)
    if own == 0:
        tl.store(scales + layer, scale)
    at = own * block + tl.arange(0, block)
    inside = at < rows * columns
    value = tl.load(_matrix(addresses, layer, element) + at, mask=inside, other=0.0).to(dtype) * scale
    tl.store(_matrix(result_addresses, layer, result) + at, value.to(result), mask=inside)


@triton.jit
def sums(partials: tl.tensor, table: tl.tensor, result: tl.tensor, dtype: tl.constexpr, lanes: tl.constexpr) -> None:
    """Store the sum of what each layer's programs of `forth` have left, a layer per program."""
    layer = tl.program_id(0)
    tl.store(result + layer, _sum_of(partials, table, layer, _FORTH, dtype, lanes))


@triton.jit
def overlap(
    addresses: tl.tensor,
    grad_addresses: tl.tensor,
    table: tl.tensor,
    layers: tl.tensor,
    overlaps: tl.tensor,
    element: tl.constexpr,
    grad_element: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Sum gradient times weight, a piece per program; a gradient that is not there has the address 0."""
    layer, own = _own(table, layers, _PIECES)
    pieces = _field(table, layer, _PROGRAMS_AT + 2 * _PIECES + 1)
    numel = _field(table, layer, _ROWS_AT) * _field(table, layer, _COLUMNS_AT)
    matrix, grad = _matrix(addresses, layer, element), _matrix(grad_addresses, layer, grad_element)
    numel = tl.where(tl.load(grad_addresses + layer) == 0, 0, numel)
    total = tl.zeros((block,), dtype)
    for start in range(own * block, numel, pieces * block):
        at = start + tl.arange(0, block)
        weight = tl.load(matrix + at, mask=at < numel, other=0.0).to(dtype)
        total += tl.load(grad + at, mask=at < numel, other=0.0).to(dtype) * weight
    tl.store(overlaps + tl.program_id(0), tl.sum(total, axis=0))


@triton.jit
def combine(
    grad_addresses: tl.tensor,
    result_addresses: tl.tensor,
    table: tl.tensor,
    layers: tl.tensor,
    vectors: tl.tensor,
    lefts: tl.tensor,
    scales: tl.tensor,
    overlaps: tl.tensor,
    grad_element: tl.constexpr,
    result: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
    lanes: tl.constexpr,
) -> None:
    """Compute the gradient, scale * grad - scale^2 * overlap * u v^T, one block per program."""
    layer, own = _own(table, layers, _ELEMENTS)
    columns = _field(table, layer, _COLUMNS_AT)
    numel = _field(table, layer, _ROWS_AT) * columns
    numel = tl.where(tl.load(grad_addresses + layer) == 0, 0, numel)
    channels, taps = _field(table, layer, _CHANNELS_AT), _field(table, layer, _TAPS_AT)
    scale = tl.load(scales + layer)
    factor = -_sum_of(overlaps, table, layer, _PIECES, dtype, lanes) * scale * scale
    at = own * block + tl.arange(0, block)
    inside = at < numel
    grad = tl.load(_matrix(grad_addresses, layer, grad_element) + at, mask=inside, other=0.0).to(dtype)
    u = tl.load(vectors + _field(table, layer, _U_AT) + at // columns, mask=inside, other=0.0)
    place = _place(at % columns, channels, taps)
    v = tl.load(vectors + lefts + _field(table, layer, _V_AT) + place, mask=inside, other=0.0)
    value = scale * grad + factor * u * v
    tl.store(_matrix(result_addresses, layer, result) + at, value.to(result), mask=inside)
