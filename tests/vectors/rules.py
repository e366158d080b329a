"""The conversion rules of the arithmetic contract, in exact rational numbers.

Written from the text of the rules, to be compared with the implementations: it shares no formula
with them and is not meant to be fast.
"""

import math
from fractions import Fraction

COMPONENT_LIMIT = 2**30
NORM_LIMIT = 2**60

FRACTION_WIDTH = {32: 23, 64: 52}
EXPONENT_WIDTH = {32: 8, 64: 11}


class Refused(Exception):
    """A vector is refused: (fault, component)."""


def decode(bits, width):
    """The exact value of an IEEE-754 pattern, None for NaN and infinities (IEEE 754-2019, 3.4)."""
    fraction_width, exponent_width = FRACTION_WIDTH[width], EXPONENT_WIDTH[width]
    bias = 2 ** (exponent_width - 1) - 1
    sign = -1 if bits >> (width - 1) else 1
    exponent = (bits >> fraction_width) % 2**exponent_width
    fraction = Fraction(bits % 2**fraction_width, 2**fraction_width)
    if exponent == 2**exponent_width - 1:
        return None
    if exponent == 0:
        return sign * fraction * Fraction(2) ** (1 - bias)
    return sign * (1 + fraction) * Fraction(2) ** (exponent - bias)


def decode_all(patterns, width):
    """Values, with None left in place."""
    known = {bits: decode(bits, width) for bits in set(patterns)}
    return [known[bits] for bits in patterns]


def check_admitted(vector):
    for i, x in enumerate(vector):
        if not -COMPONENT_LIMIT < x < COMPONENT_LIMIT:
            raise Refused("component_range", i)
    if sum(x * x for x in vector) >= NORM_LIMIT:
        raise Refused("norm_range", 0)


def quantize(patterns, width):
    values = decode_all(patterns, width)
    out = []
    for i, value in enumerate(values):
        if value is None:
            raise Refused("not_finite", i)
        out.append(round(value * 2**16))  # a Fraction rounds half to even
        if not -COMPONENT_LIMIT < out[-1] < COMPONENT_LIMIT:
            raise Refused("component_range", i)
    if any(values) and not any(out):
        raise Refused("becomes_zero", 0)
    check_admitted(out)
    return out


def normalize_values(values):
    """The rule of COSINE for exact rational values, not all zero."""
    largest = max(abs(value) for value in values)
    exponent = largest.numerator.bit_length() - largest.denominator.bit_length()
    if largest < Fraction(2) ** exponent:
        exponent -= 1
    scale = Fraction(2) ** (29 - exponent)
    assert 2**29 <= largest * scale < 2**30
    scaled_of = {value: round(value * scale) for value in set(values)}
    scaled = [scaled_of[value] for value in values]
    squared_norm = sum(y * y for y in scaled)
    unit_of = {y: unit(y, squared_norm) for y in set(scaled)}
    return [unit_of[y] for y in scaled]


def unit(y, squared_norm):
    """The integer nearest to y 2^16 / sqrt(squared_norm), ties to even."""
    # twice = floor(2 |y| 2^16 / sqrt(X)); the nearest is ceil(twice / 2) unless it is a tie.
    square_of_double = 4 * y * y * 2**32
    twice = math.isqrt(square_of_double // squared_norm)
    nearest = (twice + 1) // 2
    if twice % 2 == 1 and twice * twice * squared_norm == square_of_double:
        nearest = round(Fraction(twice, 2))
    return nearest if y >= 0 else -nearest


def normalize_float(patterns, width):
    values = decode_all(patterns, width)
    for i, value in enumerate(values):
        if value is None:
            raise Refused("not_finite", i)
    if not any(values):
        raise Refused("zero_vector", 0)
    return normalize_values(values)


def normalize_q16(vector):
    check_admitted(vector)
    if not any(vector):
        raise Refused("zero_vector", 0)
    dimension = len(vector)
    root = math.isqrt(dimension)
    if root * root < dimension:
        root += 1
    if abs(sum(x * x for x in vector) - 2**32) <= 2**16 * root + dimension:
        return list(vector)
    return normalize_values([Fraction(x) for x in vector])


FUNCTIONS = {
    "check_admitted": check_admitted,
    "quantize_float32": lambda patterns: quantize(patterns, 32),
    "quantize_float64": lambda patterns: quantize(patterns, 64),
    "normalize_float32": lambda patterns: normalize_float(patterns, 32),
    "normalize_float64": lambda patterns: normalize_float(patterns, 64),
    "normalize_q16": normalize_q16,
}
