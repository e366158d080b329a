#!/usr/bin/env python3
"""Makes quantize.json: the shared test vectors of the arithmetic contract.

Every implementation of the conversion rules (index/quantize.cc, the clients) is tested against this
one file. The expected results are computed with Python's integers and fractions, from the text
of the rules and by other formulas than the implementations use (rules.py).

    make_vectors.py            writes quantize.json beside this script
    make_vectors.py --check    exits with 1 if quantize.json is not what this script makes

The file: {"format": 1, "cases": [case, ...]}, one case a line. A case:

    "name"       unique
    "function"   check_admitted      raw Q16.16 -> fault only
                 quantize_float32    binary32 patterns -> raw Q16.16
                 quantize_float64    binary64 patterns -> raw Q16.16
                 normalize_float32   binary32 patterns -> raw Q16.16, the rule of COSINE
                 normalize_float64   binary64 patterns -> raw Q16.16, the rule of COSINE
                 normalize_q16       raw Q16.16 -> raw Q16.16, the rule of COSINE
    "input"      a vector: raw Q16.16 as integers, bit patterns as strings of 8 or 16 hex digits
    "fault"      none, not_finite, component_range, norm_range, becomes_zero or zero_vector
    "component"  the lowest component at fault for not_finite and component_range, otherwise 0
    "output"     a vector of integers, present iff the fault is none and the function has a result

A vector is a list of runs: an item is a value, or [count, value] for a value that occurs `count`
times in a row.
"""

import hashlib
import json
import math
import pathlib
import sys
from fractions import Fraction

from rules import (
    COMPONENT_LIMIT,
    EXPONENT_WIDTH,
    FRACTION_WIDTH,
    FUNCTIONS,
    NORM_LIMIT,
    Refused,
    decode,
    normalize_q16,
    normalize_values,
)

PATH = pathlib.Path(__file__).with_name("quantize.json")

# ---- the file ------------------------------------------------------------------------------------


def runs(vector):
    items = []
    start = 0
    while start < len(vector):
        end = start
        while end < len(vector) and vector[end] == vector[start]:
            end += 1
        count = end - start
        items += [vector[start]] * count if count < 4 else [[count, vector[start]]]
        start = end
    return items


class Cases:
    def __init__(self):
        self.cases = []
        self.names = set()

    def add(self, name, function, vector):
        assert name not in self.names, name
        self.names.add(name)
        shown = vector
        if "float" in function:
            digits = int(function[-2:]) // 4
            shown = [f"{bits:0{digits}x}" for bits in vector]
        case = {"name": name, "function": function, "input": runs(shown)}
        try:
            output = FUNCTIONS[function](vector)
            case.update(fault="none", component=0)
            if output is not None:
                case["output"] = runs(output)
        except Refused as refused:
            case.update(fault=refused.args[0], component=refused.args[1])
        self.cases.append(case)

    def text(self):
        lines = [json.dumps(case, separators=(",", ":")) for case in self.cases]
        return '{"format":1,"cases":[\n' + ",\n".join(lines) + "\n]}\n"


# ---- making inputs -------------------------------------------------------------------------------


class Random:
    """Numbers from SHA-256 in counter mode: the same on every Python."""

    def __init__(self, label):
        self.label, self.counter = label, 0

    def bits(self, count):
        self.counter += 1
        digest = hashlib.sha256(f"{self.label}/{self.counter}".encode()).digest()
        return int.from_bytes(digest, "little") % 2**count

    def below(self, limit):
        return self.bits(128) % limit

    def between(self, low, high):
        return low + self.below(high - low + 1)


def encode(value, width):
    """The pattern of a value that the format represents exactly."""
    value = Fraction(value)
    fraction_width, exponent_width = FRACTION_WIDTH[width], EXPONENT_WIDTH[width]
    bias = 2 ** (exponent_width - 1) - 1
    sign = 1 if value < 0 else 0
    magnitude = abs(value)
    if magnitude == 0:
        return sign << (width - 1)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    exponent = max(exponent, 1 - bias)
    significand = magnitude / Fraction(2) ** (exponent - fraction_width)
    assert significand.denominator == 1, f"{value} is not exact in binary{width}"
    # Adding the fields lets the implicit one carry into the exponent.
    pattern = ((exponent + bias - 1) << fraction_width) + significand.numerator
    assert decode(pattern, width) == magnitude
    return pattern + (sign << (width - 1))


def negative(bits, width):
    return bits ^ (1 << (width - 1))


NAN = {32: 0x7FC00000, 64: 0x7FF8000000000000}
SIGNALLING = {32: 0x7F800001, 64: 0x7FF0000000000001}
INFINITY = {32: 0x7F800000, 64: 0x7FF0000000000000}
LARGEST = {32: 0x7F7FFFFF, 64: 0x7FEFFFFFFFFFFFFF}
SMALLEST_NORMAL = {32: 0x00800000, 64: 0x0010000000000000}
LARGEST_SUBNORMAL = {32: 0x007FFFFF, 64: 0x000FFFFFFFFFFFFF}

Q = Fraction(1, 2**16)  # one raw unit


def add_admission(cases):
    add = lambda name, vector: cases.add(f"admit {name}", "check_admitted", vector)
    limit = COMPONENT_LIMIT
    add("zero", [0])
    add("largest component", [limit - 1])
    add("largest negative component", [1 - limit])
    add("component at the limit", [limit])
    add("negative component at the limit", [-limit])
    add("smallest int32", [-(2**31)])
    add("largest int32", [2**31 - 1])
    add("third component out of range", [1, 2, limit, 4])
    add("first of two components out of range", [1, -limit, 3, limit])
    add("component named although the norm is out of range", [limit - 1] * 4 + [limit])
    add("two largest components", [limit - 1, limit - 1])
    # 2^60 - (2^30 - 1)^2 = 2^31 - 1: what is left beside the largest component.
    rest = math.isqrt(2**31 - 1)
    add("largest with the most beside it", [limit - 1, rest])
    add("largest with one more beside it", [limit - 1, rest + 1])
    add("four at half the limit", [limit // 2] * 4)
    add("four just below half the limit", [limit // 2] * 3 + [limit // 2 - 1])
    add("four just below half and a one", [limit // 2 - 1, limit // 2, -(limit // 2), 1, 5])
    # 2^60 - 1 = (2^30 - 1)^2 + (2^31 - 2) + 1, and 46340^2 = 2147395600.
    left = 2**31 - 2
    square = []
    while left > 0:
        square.append(math.isqrt(left))
        left -= square[-1] ** 2
    add("norm of exactly the limit minus one", [limit - 1] + square)
    add("norm of exactly the limit", [limit - 1] + square + [1])
    # 32768 = 2^15, so equal components of 2^22 * sqrt(2) reach 2^60.
    edge = math.isqrt((NORM_LIMIT - 1) // 32768)
    add("largest dimension just below the norm limit", [edge] * 32768)
    add("largest dimension just above the norm limit", [edge] * 32767 + [2 * edge])
    add("largest dimension, every component largest", [1 - limit] * 32768)
    add("largest dimension, last component out of range", [0] * 32767 + [2**31 - 1])
    add("sum that would wrap 64 bits if it went on", [limit - 1] * 16)


def add_single_values(cases, width):
    """Vectors of one component: rounding, limits, special patterns."""
    function = f"quantize_float{width}"
    add = lambda name, vector: cases.add(f"quantize{width} {name}", function, vector)
    both = lambda name, bits: (add(name, [bits]), add(f"minus {name}", [negative(bits, width)]))
    value = lambda x: encode(x, width)

    both("zero", 0)
    both("one", value(1))
    both("one unit", value(Q))
    for halves in (1, 3, 5, 7, 9, 65535, 65537, 2**22 - 1, 2**22 + 1):
        # A whole vector, so that a tie to zero is not "becomes zero".
        tie = value(Q * halves / 2)
        add(f"tie {halves} halves", [tie, negative(tie, width), value(1)])
        add(f"just below tie {halves} halves", [tie - 1, negative(tie - 1, width), value(1)])
        add(f"just above tie {halves} halves", [tie + 1, negative(tie + 1, width), value(1)])
    both("half a unit alone becomes zero", value(Q / 2))
    both("just above half a unit alone", value(Q / 2) + 1)
    both("quarter of a unit", value(Q / 4))
    both("smallest subnormal", 1)
    both("largest subnormal", LARGEST_SUBNORMAL[width])
    both("smallest normal", SMALLEST_NORMAL[width])
    add("subnormals beside a one", [1, LARGEST_SUBNORMAL[width], SMALLEST_NORMAL[width], value(1)])
    add("zeros of both signs", [0, negative(0, width), 0])
    add("negative zero beside a tiny value", [negative(0, width), 1])
    add("tiny values of both signs", [1, negative(1, width), value(Q / 2)])
    both("limit", value(2**14))
    both("below the limit", value(2**14) - 1)
    both("above the limit", value(2**14) + 1)
    both("twice the limit", value(2**15))
    both("two to the 15 and a unit", value(2**15 + Fraction(1, 2**8)))
    both("two to the 40", value(2**40))
    both("two to the 80", value(2**80))
    both("largest finite", LARGEST[width])
    both("infinity", INFINITY[width])
    both("nan", NAN[width])
    both("signalling nan", SIGNALLING[width])
    both("nan of all ones", 2 ** (width - 1) - 1)
    add("third component nan", [value(1), value(2), NAN[width], value(3)])
    add("out of range before nan", [value(1), value(2**14), NAN[width]])
    add("nan before out of range", [value(1), NAN[width], value(2**14)])
    add("nan after a norm out of range", [value(16000)] * 4 + [NAN[width]])
    add("norm out of range", [value(12000), value(12000)])
    add("norm at the limit", [value(8192)] * 4)
    add("norm just below the limit", [value(8192)] * 3 + [value(8192 - Fraction(1, 1024))])
    add("small beside large", [value(Q), value(16383), value(Q * 3 / 2), negative(value(Q), width)])
    add("largest dimension", [value(Fraction(3, 4))] * 32767 + [negative(value(Q / 2), width)])
    if width == 64:
        # Just below a value that rounds up to the limit, and the value itself.
        both("rounds up to the limit", value(2**14 - Q / 2))
        both("rounds up to below the limit", value(2**14 - Q / 2) - 1)
        both("last unit below the limit", value(2**14 - Q))
        # Through binary32 this would become a tie and round down.
        step = Fraction(1, 2**45)
        add("one rounding, not two", [value(1 + Q / 2 + step), value(1 + 3 * Q / 2 - step)])
        both("tie of 53 bits", value(Fraction(2**53 - 1, 2**54)))


def add_random_quantize(cases, width):
    random = Random(f"quantize{width}")
    function = f"quantize_float{width}"
    fraction_width = FRACTION_WIDTH[width]
    bias = 2 ** (EXPONENT_WIDTH[width] - 1) - 1
    for number in range(24):
        vector = []
        for _ in range(random.between(1, 12)):
            exponent = random.between(-20, 12)
            sign = random.bits(1) << (width - 1)
            field = (exponent + bias) << fraction_width
            vector.append(sign | field | random.bits(fraction_width))
        cases.add(f"quantize{width} random {number}", function, vector)
    for number in range(12):  # ties of every magnitude
        vector = []
        for _ in range(8):
            halves = 2 * random.bits(random.between(1, 21)) + 1
            vector.append(encode(Q * halves / 2 * (1 - 2 * random.bits(1)), width))
        cases.add(f"quantize{width} random ties {number}", function, vector)
    for number in range(8):  # patterns of no particular kind
        vector = [random.bits(width) for _ in range(3)]
        cases.add(f"quantize{width} random patterns {number}", function, vector)


def tied_directions():
    """Integer vectors of norm exactly 2^17 with odd components: v = y / 2 is a tie for those."""
    found = []
    random = Random("ties")
    while len(found) < 6:
        # Eight odd squares are 0 modulo 8; the rest is four squares, searched for.
        odd = [2 * random.below(20000) + 1 for _ in range(8)]
        left = 2**34 - sum(x * x for x in odd)
        rest = two_squares_and_more(left)
        if rest is not None:
            vector = [x * (1 - 2 * random.bits(1)) for x in odd + rest]
            assert sum(x * x for x in vector) == 2**34
            found.append(vector)
    return found


def two_squares_and_more(left):
    """Some four squares that make `left`, greedily; None where the search finds none soon."""
    a = math.isqrt(left)
    for first in range(a, max(a - 20, 0), -1):
        after = left - first * first
        b = math.isqrt(after)
        for second in range(b, max(b - 40, 0), -1):
            two = after - second * second
            for third in range(math.isqrt(two), -1, -1):
                fourth = math.isqrt(two - third * third)
                if fourth * fourth == two - third * third:
                    return [first, second, third, fourth]
    return None


def add_normalize_float(cases, width):
    function = f"normalize_float{width}"
    add = lambda name, vector: cases.add(f"normalize{width} {name}", function, vector)
    value = lambda x: encode(x, width)
    minus = lambda bits: negative(bits, width)
    one = value(1)

    for name, bits in [("one", one), ("three", value(3)), ("smallest subnormal", 1),
                       ("largest subnormal", LARGEST_SUBNORMAL[width]),
                       ("smallest normal", SMALLEST_NORMAL[width]),
                       ("largest finite", LARGEST[width])]:
        add(f"single {name}", [bits])
        add(f"single minus {name}", [minus(bits)])
    add("zero", [0])
    add("zeros of both signs", [0, minus(0), 0, 0, 0])
    add("nan", [NAN[width]])
    add("infinity second", [one, minus(INFINITY[width]), NAN[width]])
    add("signalling nan after zeros", [0, 0, 0, SIGNALLING[width]])
    add("nan last", [LARGEST[width]] * 7 + [NAN[width]])
    add("three and four", [value(3), value(4)])
    add("three and minus four", [value(3), minus(value(4))])
    add("two equal", [one, one])
    add("two opposite", [one, minus(one)])
    add("three equal", [one, one, one])
    add("four equal", [one] * 4)
    add("largest finite twice", [LARGEST[width], LARGEST[width]])
    add("largest finite beside smallest", [LARGEST[width], 1, minus(1), 0])
    add("subnormals", [1, 2, 3, minus(5), LARGEST_SUBNORMAL[width]])
    add("smallest subnormals only", [1, 1, minus(1), 0, minus(0)])
    add("around the smallest normal", [SMALLEST_NORMAL[width], LARGEST_SUBNORMAL[width]])
    add("one hot among zeros", [0] * 99 + [minus(value(Fraction(1, 1024)))] + [0] * 100)
    for exponent in (-29, -30, -31, -32, -40, -46, -60):
        small = value(Fraction(3, 2) * Fraction(2) ** exponent)
        add(f"small at {exponent}", [one, small, minus(small)])
    # Scaled, the second is a tie of the first rounding; the third is just beside it.
    tie = value(Fraction(2) ** -30 * 5)
    add("tie when scaled", [one, tie, minus(tie), tie + 1, tie - 1])
    add("components near half a unit", [one] + [value(Fraction(2) ** -17)] * 3 +
        [value(Fraction(2) ** -17) + 1, value(Fraction(2) ** -17) - 1])
    just_below_two = value(2) - 1
    add("just below a power of two", [just_below_two, one, minus(just_below_two)])
    add("many just below a power of two", [just_below_two] * 1024)
    # The sums below need more than 64 bits: up to 32768 squares of up to 2^60.
    add("largest dimension equal", [one] * 32768)
    add("largest dimension just below a power of two", [just_below_two] * 32768)
    add("largest dimension of two kinds", [just_below_two] * 16384 + [minus(one)] * 16384)
    add("largest dimension, largest finite", [LARGEST[width]] * 32768)
    add("largest dimension, smallest subnormal", [minus(1)] * 32768)
    add("sixteen equal", [just_below_two] * 16)
    add("seventeen equal", [just_below_two] * 17)
    for dimension in (5, 63, 384, 768, 1023, 1536):
        add(f"{dimension} equal", [one] * dimension)
    for number, direction in enumerate(tied_directions()):
        add(f"exact ties {number}", [value(x) for x in direction])
        # One scaled unit to either side of the ties.
        add(f"beside exact ties {number}", [value(x) for x in direction[:-1]] + [value(Q)])
        far = Fraction(2) ** (-100 if number % 2 else 90)
        add(f"exact ties far away {number}", [value(x * far) for x in direction])

    add_scaled_rounding(add, width)

    random = Random(f"normalize{width}")
    fraction_width = FRACTION_WIDTH[width]
    field_limit = 2 ** EXPONENT_WIDTH[width] - 1
    for number in range(30):
        spread = (2, 8, 20, 40)[number % 4]
        base = random.below(field_limit - spread)
        vector = []
        for _ in range(random.between(2, 24)):
            field = random.between(base, base + spread)
            sign = random.bits(1) << (width - 1)
            vector.append(sign | (field << fraction_width) | random.bits(fraction_width))
        add(f"random {number}", vector)


def add_scaled_rounding(add, width):
    """Vectors whose result depends on the rounding of y, the scaled integers.

    Beside a 2^29, y gives the tie n + 1/2 where y^2 = (2n+1)^2 2^58 / (2^34 - (2n+1)^2). With
    m < y < m + 1, m + 3/8 and m + 5/8 round to different sides of that tie; not rounding, or
    rounding at another power of two, moves some of them to the other side.
    """
    for n in range(1, 40, 3):
        odd = 2 * n + 1
        m = math.isqrt(odd * odd * 2**58 // (2**34 - odd * odd))
        for eighths in (3, 5):
            y = Fraction(8 * m + eighths, 8)
            scale = Fraction(2) ** (n - 40)
            vector = [encode(2**29 * scale, width), encode(-y * scale, width)]
            add(f"scaled rounding {n} and {eighths} eighths", vector)


def add_normalize_q16(cases):
    add = lambda name, vector: cases.add(f"normalize q16 {name}", "normalize_q16", vector)
    unit_length = 2**16
    limit = COMPONENT_LIMIT
    add("zero", [0, 0, 0])
    add("component out of range", [1, 2, -limit])
    add("norm out of range", [limit - 1, limit - 1])
    add("one unit", [1])
    add("minus one unit", [-1])
    add("largest", [limit - 1])
    add("smallest", [1 - limit])
    add("unit", [unit_length])
    add("three and four", [3, 4])
    add("small integers", [1, -2, 3, -4, 5])
    add("largest and one", [limit - 1, 1])
    add("largest and what is left", [limit - 1, -math.isqrt(2**31 - 1)])
    add("half the limit", [limit // 2, -limit // 2, limit // 4])
    add("just at a power of two", [2**29, 2**29])
    add("just below a power of two", [2**29 - 1, 2**29 - 1])
    # d = 1: unchanged iff |x^2 - 2^32| <= 2^16 + 1: only 2^16 itself.
    for x in (unit_length - 1, unit_length + 1):
        add(f"single {x}", [x])
        add(f"single minus {x}", [-x])
    # The edges of "unchanged": a norm excess of exactly the slack, and one more.
    for dimension in (4, 5, 9, 10, 100, 768):
        root = math.isqrt(dimension - 1) + 1
        slack = unit_length * root + dimension
        for name, target in [("largest", 2**32 + slack), ("too large", 2**32 + slack + 1),
                             ("smallest", 2**32 - slack), ("too small", 2**32 - slack - 1)]:
            vector = of_squared_norm(target, dimension)
            if vector is not None:
                add(f"{name} unchanged norm at {dimension}", vector)
    add("largest dimension ones", [1] * 32768)
    add("largest dimension unit", [362] * 32768)
    add("largest dimension near the norm limit", [math.isqrt((NORM_LIMIT - 1) // 32768)] * 32768)
    for number, direction in enumerate(tied_directions()):
        add(f"exact ties {number}", direction)
        add(f"exact ties scaled {number}", [x * 2 for x in direction])
    random = Random("normalize q16")
    for number in range(24):
        magnitude = random.between(1, 27)
        dimension = random.between(1, 24)
        vector = [random.between(-(2**magnitude), 2**magnitude) for _ in range(dimension)]
        add(f"random {number}", vector)
    for number in range(8):  # outputs of the rule come back unchanged
        vector = [random.between(-(2**20), 2**20) for _ in range(random.between(2, 24))]
        once = normalize_values([Fraction(x) for x in vector])
        assert normalize_q16(once) == once
        add(f"again {number}", once)


def of_squared_norm(target, dimension):
    """A vector of that squared norm: one large component and up to four small ones."""
    first = math.isqrt(target)
    for large in range(first, first - 50, -1):
        rest = four_squares(target - large * large)
        vector = [large] + [x for x in rest if x != 0]
        if len(vector) <= dimension:
            return vector + [0] * (dimension - len(vector))
    return None


def four_squares(value):
    """Lagrange: every natural number is a sum of four squares."""
    for a in range(math.isqrt(value), -1, -1):
        after_a = value - a * a
        for b in range(min(a, math.isqrt(after_a)), -1, -1):
            after_b = after_a - b * b
            for c in range(min(b, math.isqrt(after_b)), -1, -1):
                d = math.isqrt(after_b - c * c)
                if d * d == after_b - c * c:
                    return [a, b, c, d]
                if 2 * c * c < after_b:
                    break
    raise AssertionError(value)


def make():
    cases = Cases()
    add_admission(cases)
    for width in (32, 64):
        add_single_values(cases, width)
        add_random_quantize(cases, width)
    for width in (32, 64):
        add_normalize_float(cases, width)
    add_normalize_q16(cases)
    return cases.text()


def main():
    text = make()
    if sys.argv[1:] == ["--check"]:
        if PATH.read_text() != text:
            sys.exit(f"{PATH.name} is not what {pathlib.Path(__file__).name} makes")
        return
    PATH.write_text(text)


if __name__ == "__main__":
    main()
