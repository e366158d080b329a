"""The arithmetic contract in plain Python integers: the naive reference that tests compare against.

What it is: conversion of floats to Q16.16, normalisation for the cosine metric, the three raw
distances and exact k-NN, each written from the definition alone. It shares no code with the
server. Conversion and normalisation are Python integers only, so they can neither round nor
overflow; distances are numpy int64, which the admission rule makes exact.

What it is not: fast. Rows are converted one component at a time (about a microsecond each).

A component is Q16.16: the integer `raw` stands for raw / 65536. Vectors go in and come out as
lists of Python ints (or any sequence; numpy arrays of floats or integers are fine).

    stored = [normalize_float32(row) for row in rows]        # COSINE
    stored = [quantize_float32(row) for row in rows]         # L2, DOT
    knn("COSINE", normalize_float32(query), ids, stored, 10) # [(id, distance_raw), ...]

Needs Python 3.9 or newer and numpy.
"""

import math
import struct

import numpy as np

FRACTION_BITS = 16
COMPONENT_LIMIT = 1 << 30  # admitted: |raw| < COMPONENT_LIMIT
SQUARED_NORM_LIMIT = 1 << 60  # admitted: sum of raw^2 < SQUARED_NORM_LIMIT
DIMENSION_MAX = 32768
METRICS = ("L2", "DOT", "COSINE")

_ONE = 1 << FRACTION_BITS  # 1.0 as a raw value
_SCALED_BITS = 30  # the largest component is scaled into [2^29, 2^30) before normalising


class NotAdmitted(ValueError):
    """A vector that the contract refuses.

    reason: "dimension", "not_finite", "component_range", "norm_range", "underflow" (a non-zero
    vector of floats that rounds to all zeros) or "zero" (the zero vector cannot be normalised).
    component: index of the first offending component, or None where none is to blame.
    """

    def __init__(self, reason, component=None):
        super().__init__(reason if component is None else f"{reason} at component {component}")
        self.reason = reason
        self.component = component


# ---- floats, exactly -------------------------------------------------------------------------


def _decode_ieee754(bits, exponent_bits, mantissa_bits):
    """IEEE 754 `bits` as (m, e) with value = m * 2^e; None for NaN and infinities."""
    mantissa = bits & ((1 << mantissa_bits) - 1)
    exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1)
    negative = bits >> (mantissa_bits + exponent_bits)
    if exponent == (1 << exponent_bits) - 1:
        return None
    bias = (1 << (exponent_bits - 1)) - 1
    if exponent == 0:
        exponent = 1  # zero or subnormal: no hidden bit
    else:
        mantissa |= 1 << mantissa_bits
    return (-mantissa if negative else mantissa, exponent - bias - mantissa_bits)


def _decode_float32(value):
    return _decode_ieee754(struct.unpack("<I", struct.pack("<f", value))[0], 8, 23)


def _decode_float64(value):
    return _decode_ieee754(struct.unpack("<Q", struct.pack("<d", value))[0], 11, 52)


def _shift_half_even(mantissa, shift):
    """mantissa * 2^shift, rounded to the nearest integer, ties to even."""
    if shift >= 0:
        return mantissa << shift
    magnitude = abs(mantissa)
    whole = magnitude >> -shift
    rest = magnitude - (whole << -shift)
    half = 1 << (-shift - 1)
    if rest > half or (rest == half and whole % 2 == 1):
        whole += 1
    return -whole if mantissa < 0 else whole


def _decode_all(values, decode):
    _check_dimension(len(values))
    parts = []
    for i, value in enumerate(values):
        part = decode(value)
        if part is None:
            raise NotAdmitted("not_finite", i)
        parts.append(part)
    return parts


def _float32_values(values):
    """As Python floats; refuses what binary32 does not hold, which would be rounded twice."""
    values = [float(v) for v in values]
    for i, value in enumerate(values):
        if math.isfinite(value):
            try:
                same = struct.unpack("<f", struct.pack("<f", value))[0] == value
            except OverflowError:
                same = False
            if not same:
                raise TypeError(f"component {i} is not a float32 value: use the float64 function")
    return values


# ---- admission and conversion ----------------------------------------------------------------


def _check_dimension(dimension):
    if not 1 <= dimension <= DIMENSION_MAX:
        raise NotAdmitted("dimension")


def check_admitted(raw):
    """Raises NotAdmitted unless every |raw_i| < 2^30 and the raw squared norm is below 2^60."""
    _check_dimension(len(raw))
    for i, x in enumerate(raw):
        if abs(int(x)) >= COMPONENT_LIMIT:
            raise NotAdmitted("component_range", i)
    if squared_norm(raw) >= SQUARED_NORM_LIMIT:
        raise NotAdmitted("norm_range")


def squared_norm(raw):
    return sum(int(x) * int(x) for x in raw)


def _quantize(parts):
    raw = [_shift_half_even(mantissa, exponent + FRACTION_BITS) for mantissa, exponent in parts]
    check_admitted(raw)
    if not any(raw) and any(mantissa for mantissa, _ in parts):
        raise NotAdmitted("underflow")
    return raw


def quantize_float32(values):
    """float32 components (float16 ones widen exactly) to admitted raw Q16.16.

    Each becomes the nearest multiple of 2^-16, ties to even, from its IEEE 754 bits.
    """
    return _quantize(_decode_all(_float32_values(values), _decode_float32))


def quantize_float64(values):
    """float64 components to admitted raw Q16.16, in one rounding."""
    return _quantize(_decode_all([float(v) for v in values], _decode_float64))


# ---- normalisation (COSINE) ------------------------------------------------------------------


def nearest_normalised(x, squared):
    """The integer nearest to x * 2^16 / sqrt(squared), ties to even; squared > 0."""
    magnitude = abs(x)
    n = math.isqrt((magnitude * magnitude << (2 * FRACTION_BITS)) // squared)  # the floor
    # n + 1/2 against the true value, both squared and times 4 * squared.
    half_above = (2 * n + 1) * (2 * n + 1) * squared
    true_value = 4 * magnitude * magnitude << (2 * FRACTION_BITS)
    if true_value > half_above or (true_value == half_above and n % 2 == 1):
        n += 1
    return -n if x < 0 else n


def _normalize_integers(xs):
    squared = squared_norm(xs)
    return [nearest_normalised(x, squared) for x in xs]


def _normalize_parts(parts):
    """parts: (m, e) with component = m * 2^e.

    Scales by the power of two that puts the largest magnitude in [2^29, 2^30), rounds half to
    even to integers, normalises those. Only the direction matters: any finite magnitude will do.
    """
    # |m * 2^e| is in [2^(b-1), 2^b) with b = bit_length(m) + e.
    tops = [abs(mantissa).bit_length() + exponent for mantissa, exponent in parts if mantissa]
    if not tops:
        raise NotAdmitted("zero")
    scale = _SCALED_BITS - max(tops)
    return _normalize_integers([_shift_half_even(m, e + scale) for m, e in parts])


def normalize_float32(values):
    """float32 (or float16) components to the normalised raw vector that COSINE stores."""
    return _normalize_parts(_decode_all(_float32_values(values), _decode_float32))


def normalize_float64(values):
    """float64 components, exactly, to the normalised raw vector that COSINE stores."""
    return _normalize_parts(_decode_all([float(v) for v in values], _decode_float64))


def is_normalised(raw):
    """True iff a raw vector is near enough to unit length to be stored by COSINE unchanged.

    |X - 2^32| <= 2^16 * ceil(sqrt(d)) + d; every output of the normalisation satisfies it.
    """
    d = len(raw)
    ceil_sqrt = math.isqrt(d - 1) + 1
    return abs(squared_norm(raw) - _ONE * _ONE) <= _ONE * ceil_sqrt + d


def normalize_q16(raw):
    """An admitted raw Q16.16 vector to what COSINE stores: itself if it is normalised already."""
    raw = [int(x) for x in raw]
    check_admitted(raw)
    if not any(raw):
        raise NotAdmitted("zero")
    # Scaling integers by a power of two is exact and changes no quotient, so none is needed here.
    return raw if is_normalised(raw) else _normalize_integers(raw)


# ---- distances and k-NN ----------------------------------------------------------------------


def distances(metric, query, rows):
    """int64 raw distances of `query` (d) to each of `rows` (n x d), all admitted raw vectors.

    L2 and COSINE: the sum of (row - query)^2, where COSINE's vectors are normalised ones. DOT:
    minus the dot product. In units of 2^-32. By the admission rule a difference is below 2^31 and
    every partial sum is below 2^62, so int64 holds all of them exactly.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {METRICS}, not {metric!r}")
    query = np.asarray(query, dtype=np.int64)
    rows = np.asarray(rows, dtype=np.int64).reshape(-1, query.shape[0])
    if metric == "DOT":
        return -(rows * query).sum(axis=1, dtype=np.int64)
    difference = rows - query
    return (difference * difference).sum(axis=1, dtype=np.int64)


def _id_bytes(record_id):
    return record_id if isinstance(record_id, bytes) else record_id.encode("utf-8")


def knn(metric, query, ids, rows, k):
    """The k nearest as [(id, distance_raw)], by (distance_raw, id as unsigned bytes) ascending."""
    if len(ids) != len(rows):
        raise ValueError("ids and rows differ in length")
    if len(ids) == 0:
        return []
    raw = distances(metric, query, rows)
    order = sorted(range(len(ids)), key=lambda i: (int(raw[i]), _id_bytes(ids[i])))
    return [(ids[i], int(raw[i])) for i in order[:k]]


def score(metric, distance_raw):
    """The double that replies carry beside distance_raw. For reading; distance_raw decides."""
    if metric == "COSINE":
        return 1.0 - math.ldexp(float(distance_raw), -33)
    return math.ldexp(float(-distance_raw if metric == "DOT" else distance_raw), -32)
