"""The arithmetic contract in integers: floats to Q16.16, and normalisation for METRIC_COSINE.

`quantize` and `normalize` give, bit for bit, what the server stores (docs/determinism.md); the
server does the same at its door, so calling them first is never needed. They serve to know the
stored bits in advance, and to keep raw vectors in files. tests/vectors/quantize.json binds both.

No rounding is left to the floating point unit: numbers are taken apart as bits. Where an estimate
in floating point saves time (the quotient in `normalize`), every result near a boundary is decided
again in exact integers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import numpy.typing as npt

from stele.errors import InvalidArgument, VectorError

ONE = 1 << 16
COMPONENT_LIMIT = 1 << 30  # |raw| must be below.
NORM_LIMIT = 1 << 60  # The squared raw norm must be below.
INTEGER_LIMIT = 1 << 53  # Integers from here on are not exact as float64.

# Reasons of VectorError, those of the server.
NOT_FINITE = "COMPONENT_NOT_FINITE"
COMPONENT_RANGE = "COMPONENT_OUT_OF_RANGE"
NORM_RANGE = "NORM_OUT_OF_RANGE"
BECOMES_ZERO = "VECTOR_BECOMES_ZERO"
ZERO_VECTOR = "ZERO_VECTOR"

ArrayLike = Any
Int32Array = npt.NDArray[np.int32]


class Q16(np.ndarray):
    """Raw Q16.16 components: an int32 array whose real values are the entries / 65536.

    Its own type, because a plain array of integers means values: [1] is 1.0, Q16([1]) is 2^-16.
    Reads return vectors as Q16, so what was read can be written back unchanged. Slices stay Q16;
    the result of arithmetic is an ordinary array.
    """

    def __new__(cls, values: ArrayLike) -> Q16:
        array = np.asarray(values)
        if array.size == 0 and array.dtype.kind == "f":
            array = array.astype(np.int32)
        if array.dtype.kind not in "iu":
            raise InvalidArgument(
                f"Q16 holds raw integers, got {array.dtype}; stele.quantize(array) makes them"
            )
        if array.size and not (-(2**31) <= int(array.min()) and int(array.max()) < 2**31):
            raise InvalidArgument("Q16 holds 32-bit integers, and a value lies outside")
        return np.ascontiguousarray(array, dtype=np.int32).reshape(array.shape).view(cls)

    @classmethod
    def from_bytes(cls, data: bytes) -> Q16:
        """From little-endian int32 values, the form on the wire. Read-only."""
        if len(data) % 4:
            raise InvalidArgument(f"{len(data)} bytes are not a whole number of int32 components")
        return np.frombuffer(data, dtype="<i4").astype(np.int32, copy=False).view(cls)

    def to_float(self) -> npt.NDArray[np.float64]:
        """The real values; exact, since every Q16.16 number is a float64."""
        return np.asarray(self, dtype=np.float64) / ONE

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        plain = np.asarray(array)
        return plain[()] if plain.ndim == 0 else plain


class _Parts(NamedTuple):
    """Numbers as (-1)^negative * magnitude * 2^exponent; magnitude below 2^53.

    NaN and infinities are marked and have magnitude 0.
    """

    negative: npt.NDArray[np.bool_]
    magnitude: npt.NDArray[np.uint64]
    exponent: npt.NDArray[np.int64]
    not_finite: npt.NDArray[np.bool_]


# Of each IEEE 754 format: unsigned type, fraction bits, exponent bits.
_FORMATS = {2: (np.uint16, 10, 5), 4: (np.uint32, 23, 8), 8: (np.uint64, 52, 11)}


def numeric(values: ArrayLike, where: str = "vector") -> npt.NDArray[Any]:
    """An array of float16, float32, float64 or integers. Raises InvalidArgument for others."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InvalidArgument(f"{where}: a masked array hides components; fill them first")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"{where}: not an array of numbers: {error}") from error
    if array.size == 0 and not isinstance(values, np.ndarray):
        array = array.astype(np.float64)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "iu" or (kind == "f" and size in _FORMATS):
        return array
    raise InvalidArgument(
        f"{where}: components must be numbers (float16, float32, float64 or integers; raw Q16.16 "
        f"as stele.Q16), got {array.dtype}"
    )


def first_inexact_integer(array: npt.NDArray[Any]) -> Optional[int]:
    """Flat position of the first integer of 2^53 or more in absolute value, or None."""
    inexact = array >= INTEGER_LIMIT
    if array.dtype.kind == "i":
        inexact |= array <= -INTEGER_LIMIT
    return int(np.argmax(inexact)) if inexact.any() else None


def _take_apart(rows: npt.NDArray[Any], single: bool) -> _Parts:
    """Splits numbers into integers. Raises VectorError for integers that are not exact."""
    if rows.dtype.kind in "iu":
        position = first_inexact_integer(rows)
        if position is not None:
            raise _at(rows, position, single, COMPONENT_RANGE, "is too large for Q16.16")
        wide = rows.astype(np.int64)
        zeros = np.zeros(rows.shape, dtype=np.int64)
        return _Parts(wide < 0, np.abs(wide).astype(np.uint64), zeros, zeros != 0)
    unsigned, fraction_bits, exponent_bits = _FORMATS[rows.dtype.itemsize]
    native = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("="))
    bits = native.view(unsigned).astype(np.uint64)
    fraction = bits & np.uint64((1 << fraction_bits) - 1)
    biased = (bits >> np.uint64(fraction_bits)) & np.uint64((1 << exponent_bits) - 1)
    not_finite = biased == (1 << exponent_bits) - 1
    negative = (bits >> np.uint64(fraction_bits + exponent_bits)) != 0
    normal = (biased != 0).astype(np.uint64)
    magnitude = fraction | (normal << np.uint64(fraction_bits))
    magnitude = np.where(not_finite, np.uint64(0), magnitude)
    bias = (1 << (exponent_bits - 1)) - 1
    exponent = np.maximum(biased.astype(np.int64), 1) - bias - fraction_bits
    return _Parts(negative, magnitude, exponent, not_finite)


def _scale(
    magnitude: npt.NDArray[np.uint64], power: npt.NDArray[np.int64], limit_bits: int
) -> npt.NDArray[np.int64]:
    """magnitude * 2^power, to the nearest integer, ties to even; at most 2^limit_bits.

    Results of 2^limit_bits or more come out as 2^limit_bits.
    """
    left = np.clip(power, 0, limit_bits).astype(np.uint64)
    right = np.clip(-power, 0, 60).astype(np.uint64)
    one, zero = np.uint64(1), np.uint64(0)
    too_large = (magnitude >> (np.uint64(limit_bits) - left)) != 0
    too_large &= power >= 0
    too_large |= (power > limit_bits) & (magnitude != 0)
    quotient = np.where(too_large, zero, magnitude << left) >> right
    remainder = magnitude & ((one << right) - one)
    half = np.where(right > 0, one << (np.maximum(right, one) - one), one)
    up = (remainder > half) | ((remainder == half) & ((quotient & one) == one))
    quotient = quotient + np.where((right > 0) & up, one, zero)
    saturated = too_large | (quotient >= np.uint64(1 << limit_bits))
    return np.where(saturated, 1 << limit_bits, quotient.astype(np.int64)).astype(np.int64)


def _norm_limbs(raw: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Squared norms of rows with |x| <= 2^30 as hi * 2^30 + lo, without overflow."""
    squares = raw.astype(np.int64) ** 2
    low = (squares & (COMPONENT_LIMIT - 1)).sum(axis=-1)
    high = (squares >> 30).sum(axis=-1)
    return high + (low >> 30), low & (COMPONENT_LIMIT - 1)


def _admit(
    raw: npt.NDArray[np.int64], single: bool, not_finite: Optional[npt.NDArray[np.bool_]] = None
) -> None:
    """The admission rule: components first, then the norm. Raises VectorError."""
    bad = np.abs(raw) >= COMPONENT_LIMIT
    if not_finite is not None:
        bad |= not_finite
    if bad.any():
        position = int(np.argmax(bad))
        if not_finite is not None and not_finite.ravel()[position]:
            raise _at(raw, position, single, NOT_FINITE, "is NaN or infinite")
        raise _at(raw, position, single, COMPONENT_RANGE, "is not below 16384.0 in absolute value")
    high, _ = _norm_limbs(raw)
    if (high >= NORM_LIMIT >> 30).any():
        row = int(np.argmax(high >= NORM_LIMIT >> 30))
        raise _whole(row, single, NORM_RANGE, "the Euclidean norm is not below 16384.0")


def quantize(values: ArrayLike) -> Q16:
    """The raw Q16.16 form of vectors, as METRIC_L2 and METRIC_DOT store it.

    values: shape [d] or [n, d]; float16, float32, float64 or integers (which mean values), or Q16,
    which is checked and returned as it is. Returns Q16 (int32) of the same shape.

    Each component goes to the nearest multiple of 2^-16, ties to even. Raises VectorError, naming
    row and component, for NaN, infinities, components or norms of 16384.0 and more, and for a
    vector that is not zero but rounds to zero.
    """
    if isinstance(values, Q16):
        rows, single = _rows(_raw(values))
        _admit(rows.astype(np.int64), single)
        return values
    rows, single = _rows(numeric(values))
    parts = _take_apart(rows, single)
    raw = _scale(parts.magnitude, parts.exponent + 16, 30)
    raw = np.where(parts.negative, -raw, raw)
    _admit(raw, single, parts.not_finite)
    lost = (parts.magnitude != 0).any(axis=-1) & ~(raw != 0).any(axis=-1)
    if lost.any():
        raise _whole(int(np.argmax(lost)), single, BECOMES_ZERO, "every component rounds to zero")
    return _result(raw, single)


def normalize(values: ArrayLike) -> Q16:
    """The normalised raw Q16.16 form of vectors, as METRIC_COSINE stores it.

    values: as in `quantize`; of any finite size, since only the direction counts. Q16 input stays
    unchanged where it is normalised already. Returns Q16 (int32) of the same shape.

    Raises VectorError, naming row and component, for NaN, infinities and the zero vector.
    """
    if isinstance(values, Q16):
        rows, single = _rows(_raw(values))
        raw = rows.astype(np.int64)
        _admit(raw, single)
        d = rows.shape[1]
        tolerance = ONE * _ceil_sqrt(d) + d
        out = [
            row if row.any() and abs(_norm(row) - (1 << 32)) <= tolerance
            else _normalize_integers(row, index, single)
            for index, row in enumerate(raw)
        ]  # fmt: skip
        return _result(np.array(out, dtype=np.int64).reshape(rows.shape), single)
    rows, single = _rows(numeric(values))
    parts = _take_apart(rows, single)
    if parts.not_finite.any():
        position = int(np.argmax(parts.not_finite))
        raise _at(rows, position, single, NOT_FINITE, "is NaN or infinite")
    # The bit length of a magnitude below 2^53 is the exponent that frexp finds, exactly.
    length = np.frexp(parts.magnitude.astype(np.float64))[1].astype(np.int64) + parts.exponent
    length = np.where(parts.magnitude != 0, length, np.iinfo(np.int32).min)
    top = (
        length.max(axis=-1, keepdims=True) if rows.shape[1] else np.zeros((len(rows), 1), np.int64)
    )
    scaled = _scale(parts.magnitude, parts.exponent + 30 - top, 30)
    scaled = np.where(parts.magnitude != 0, scaled, 0)
    scaled = np.where(parts.negative, -scaled, scaled)
    out = [_normalize_integers(row, index, single) for index, row in enumerate(scaled)]
    return _result(np.array(out, dtype=np.int64).reshape(rows.shape), single)


def _norm(row: npt.NDArray[np.int64]) -> int:
    high, low = _norm_limbs(row)
    return (int(high) << 30) + int(low)


def _ceil_sqrt(n: int) -> int:
    root = math.isqrt(n)
    return root if root * root == n else root + 1


def _normalize_integers(
    row: npt.NDArray[np.int64], index: int, single: bool
) -> npt.NDArray[np.int64]:
    """n_i nearest to x_i * 2^16 / sqrt(X), ties to even; X is the squared norm of x."""
    norm = _norm(row)
    if norm == 0:
        raise _whole(index, single, ZERO_VECTOR, "the zero vector has no direction")
    magnitude = np.abs(row)
    # The estimate errs by less than 2^-30: only fractions near 1/2 need the exact comparison.
    estimate = magnitude.astype(np.float64) * (ONE / math.sqrt(norm))
    nearest = np.floor(estimate)
    fraction = estimate - nearest
    result = nearest.astype(np.int64) + (fraction > 0.5)
    for position in np.flatnonzero(np.abs(fraction - 0.5) < 1e-6):
        low, x = int(nearest[position]), int(magnitude[position])
        left, right = (2 * low + 1) ** 2 * norm, 4 * x * x << 32
        result[position] = low + (left < right or (left == right and low % 2 == 1))
    return np.where(row < 0, -result, result)


def _raw(values: Q16) -> Int32Array:
    if values.dtype != np.int32:
        raise InvalidArgument(f"Q16 holds int32, this array was converted to {values.dtype}")
    return np.asarray(values)


def _rows(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], bool]:
    """The array as [n, d], and whether it was one vector."""
    if array.ndim not in (1, 2):
        raise InvalidArgument(f"expected shape [d] or [n, d], got {list(array.shape)}")
    return (array[np.newaxis, :], True) if array.ndim == 1 else (array, False)


def _result(raw: npt.NDArray[np.int64], single: bool) -> Q16:
    plain = raw[0] if single else raw
    return np.ascontiguousarray(plain, dtype=np.int32).view(Q16)


def _at(rows: npt.NDArray[Any], position: int, single: bool, reason: str, what: str) -> VectorError:
    row, component = divmod(position, rows.shape[1])
    where = f"component {component}" if single else f"row {row}, component {component}"
    return VectorError(
        f"{where} {what}", reason=reason, row=None if single else row, component=component
    )


def _whole(row: int, single: bool, reason: str, what: str) -> VectorError:
    where = "vector" if single else f"row {row}"
    return VectorError(f"{where}: {what}", reason=reason, row=None if single else row)


VectorLike = Union[ArrayLike, Q16]
