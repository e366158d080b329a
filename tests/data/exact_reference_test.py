"""If these fail, the naive reference is wrong, and what is compared with it proves nothing.

Expectations come from exact fractions (and, for square roots, from 80-digit decimals), not from
the integer tricks under test.
"""

import decimal
import json
import pathlib
import random
import sys
from fractions import Fraction

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import exact_reference as ref  # noqa: E402

DEMO = pathlib.Path(__file__).parent / "demo"


def nearest(value):
    return round(value)  # of a Fraction: exact, ties to even


def interesting_floats(rng, dtype, low, high):
    """Magnitudes in [2^low, 2^high), ties and their neighbours among them."""
    values = [0.0, -0.0]
    for _ in range(600):
        values.append(rng.choice([-1, 1]) * rng.uniform(1, 2) * 2.0 ** rng.randint(low, high - 1))
        values.append((rng.randint(-200, 200) + 0.5) / 65536)
    values = np.array(values, dtype=dtype)
    return np.concatenate([values, np.nextafter(values, dtype(9)), np.nextafter(values, dtype(-9))])


@pytest.mark.parametrize(
    "dtype, quantize, low, high",
    [
        (np.float32, ref.quantize_float32, -30, 5),
        (np.float64, ref.quantize_float64, -40, 5),
        (np.float16, ref.quantize_float32, -14, 5),
    ],
)
def test_quantize_is_the_nearest_multiple_ties_to_even(dtype, quantize, low, high):
    values = interesting_floats(random.Random(1), dtype, low, high)
    expected = [nearest(Fraction(float(v)) * 65536) for v in values]
    assert quantize(values) == expected
    ties = [v for v in values if (Fraction(float(v)) * 65536).denominator == 2]
    assert len(ties) > 100


def test_quantize_known_values():
    tiny = 2.0**-17  # exactly half a step
    assert ref.quantize_float32([1.0, -1.0, tiny, -tiny, 3 * tiny, -3 * tiny, 5 * tiny]) == [
        65536, -65536, 0, 0, 2, -2, 2]
    assert ref.quantize_float32([0.0, -0.0]) == [0, 0]
    assert ref.quantize_float32([2.0**-149, 1.0]) == [0, 65536]
    # One rounding only: by way of float32 this would become a tie and fall to zero.
    assert ref.quantize_float64([tiny * (1 + 2.0**-40)]) == [1]


def refusal(function, values):
    with pytest.raises(ref.NotAdmitted) as caught:
        function(values)
    return caught.value.reason, caught.value.component


def test_admission_rule():
    below = 16384 - 2.0**-10  # the largest float32 below 2^14
    assert ref.quantize_float32([below]) == [(1 << 30) - 64]
    assert refusal(ref.quantize_float32, [0.0, 16384.0]) == ("component_range", 1)
    assert refusal(ref.quantize_float64, [16384 - 2.0**-18]) == ("component_range", 0)
    assert refusal(ref.quantize_float32, [1.0, float("nan")]) == ("not_finite", 1)
    assert refusal(ref.quantize_float64, [float("-inf")]) == ("not_finite", 0)
    assert refusal(ref.quantize_float32, [2.0**-17, -(2.0**-140)]) == ("underflow", None)
    assert refusal(ref.quantize_float32, [8192.0] * 4) == ("norm_range", None)
    assert ref.quantize_float32([8192.0] * 3) == [1 << 29] * 3
    assert refusal(ref.quantize_float32, []) == ("dimension", None)
    assert refusal(ref.quantize_float32, [0.0] * 32769) == ("dimension", None)
    for zero in (ref.normalize_float32, ref.normalize_float64, ref.normalize_q16):
        assert refusal(zero, [0, 0]) == ("zero", None)
    with pytest.raises(TypeError):
        ref.quantize_float32([0.1])


def normalised_by_decimals(xs):
    """round(x * 2^16 / sqrt(X)) in 80 digits: far finer than any gap to a non-tie."""
    with decimal.localcontext() as context:
        context.prec = 80
        root = decimal.Decimal(sum(x * x for x in xs)).sqrt()
        return [
            int((decimal.Decimal(x) * 65536 / root).to_integral_value(decimal.ROUND_HALF_EVEN))
            for x in xs
        ]


def scaled_by_fractions(values):
    exact = [Fraction(float(v)) for v in values]
    top = max(abs(v) for v in exact)
    scale = Fraction(1)
    while top * scale < 1 << 29:
        scale *= 2
    while top * scale >= 1 << 30:
        scale /= 2
    return [nearest(v * scale) for v in exact]


@pytest.mark.parametrize(
    "dtype, normalize",
    [(np.float16, ref.normalize_float32), (np.float32, ref.normalize_float32),
     (np.float64, ref.normalize_float64)],
)
def test_normalise_floats(dtype, normalize):
    rng = np.random.default_rng(2)
    for trial in range(60):
        d = int(rng.integers(1, 200))
        scale = 1.0 if dtype is np.float16 else 2.0 ** (trial - 30)
        values = (rng.standard_normal(d) * scale).astype(dtype)
        got = normalize(values)
        assert got == normalised_by_decimals(scaled_by_fractions(values))
        assert ref.is_normalised(got)
        assert ref.normalize_q16(got) == got


def test_normalise_ignores_powers_of_two_and_keeps_extremes_apart():
    values = np.array([0.75, -0.3, 2.0**-20], dtype=np.float32)
    assert ref.normalize_float32(values * np.float32(2.0**100)) == ref.normalize_float32(values)
    assert ref.normalize_float64([5e-324, 0.0]) == [65536, 0]
    assert ref.normalize_float64([1.7e308, -1.7e308]) == [46341, -46341]
    assert ref.normalize_float32([3.0, -4.0]) == [39322, -52429]  # 39321.6, -52428.8


@pytest.mark.parametrize(
    "values",
    [
        [0.7442448836456821, -0.34233202003022034],  # another result with 31 bits
        [0.5723431323114316, 0.13580646808692853],  # another result with 29 bits
        [0.9405070405885281, 0.03281917011856128],  # another result without the rounding
        [1 - 2.0**-53, 1 - 2.0**-20],  # rounds up to 2^30 itself
        [2.0**-1022, 3 * 2.0**-1074, 2.0**-1023],  # subnormal
    ],
)
def test_normalise_rounds_once_at_thirty_bits(values):
    assert ref.normalize_float64(values) == normalised_by_decimals(scaled_by_fractions(values))


def test_normalise_float32_subnormals():
    values = [3 * 2.0**-149, 2.0**-126, 2.0**-127]
    assert ref.normalize_float32(values) == normalised_by_decimals(scaled_by_fractions(values))


def test_normalise_ties_go_to_even():
    # With X = 2^34 the quotient is x / 2: halfway between two integers for every odd x.
    for x, n in ((1, 0), (3, 2), (5, 2), (7, 4), (-5, -2), (-7, -4)):
        assert ref.nearest_normalised(x, 1 << 34) == n
    assert ref.nearest_normalised(3, (1 << 34) - 1) == 2
    assert ref.nearest_normalised(3, (1 << 34) + 1) == 1


def test_raw_vectors_are_kept_exactly_up_to_the_bound():
    # d = 4: the bound is 2 * 2^16 + 4, met by the first and passed by one by the second.
    kept = [65536, 362, 4, 4]
    assert ref.squared_norm(kept) - 65536**2 == 2 * 65536 + 4
    assert ref.normalize_q16(kept) == kept
    moved = [65536, 6, 240, 271]
    assert ref.squared_norm(moved) - 65536**2 == 2 * 65536 + 5
    assert ref.normalize_q16(moved) == normalised_by_decimals(moved) != moved
    # The ceiling of sqrt(2) is 2, of sqrt(1) is 1.
    assert ref.normalize_q16([65535, 0]) == [65535, 0]
    assert ref.normalize_q16([65534]) == [65536]
    assert refusal(ref.normalize_q16, [0, -(1 << 30)]) == ("component_range", 1)


def test_distances_are_exact_to_the_edge_of_admission():
    rng = random.Random(3)
    top = (1 << 30) - 1
    for d in (1, 2, 3, 17):
        peak = min(top, int(((1 << 60) // d) ** 0.5) - 1)
        rows = [
            [rng.choice([-peak, peak, rng.randint(-peak, peak)]) for _ in range(d)]
            for _ in range(30)
        ]
        rows += [[peak] * d, [-peak] * d]
        for row in rows:
            ref.check_admitted(row)
        query = [peak] * d
        squares = [sum((a - b) ** 2 for a, b in zip(row, query)) for row in rows]
        products = [-sum(a * b for a, b in zip(row, query)) for row in rows]
        assert ref.distances("L2", query, rows).tolist() == squares
        assert ref.distances("COSINE", query, np.array(rows, dtype=np.int32)).tolist() == squares
        assert ref.distances("DOT", query, rows).tolist() == products
        assert max(squares) > 1 << 61


def test_knn_orders_by_distance_then_id_bytes():
    ids = ["b", "a", "\u00e9", "Z", "\U0001f600", "\uffee", "near"]
    rows = [[5, 0]] * 6 + [[1, 0]]
    hits = ref.knn("L2", [0, 0], ids, rows, 10)
    tied = ["Z", "a", "b", "\u00e9", "\uffee", "\U0001f600"]
    assert hits == [("near", 1)] + [(i, 25) for i in tied]
    assert ref.knn("L2", [0, 0], ids, rows, 2) == hits[:2]
    assert [i for i, _ in ref.knn("DOT", [1, 0], ids, rows, 7)][-1] == "near"
    assert ref.knn("L2", [0, 0], [], [], 3) == []


def test_scores():
    assert ref.score("COSINE", 0) == 1.0
    assert ref.score("COSINE", 4 << 32) == -1.0
    assert ref.score("L2", 9 << 32) == 9.0
    assert ref.score("DOT", -(6 << 32)) == 6.0


def test_demo_expectations_follow_from_the_demo_bytes():
    """Two queries; `make_demo_data.py expected --check` does them all."""
    ids = [json.loads(line)["id"] for line in (DEMO / "records.jsonl").open(encoding="utf-8")]
    rows = [ref.normalize_float32(row) for row in np.load(DEMO / "records.npy")]
    queries = np.load(DEMO / "queries.npy")
    expected = json.loads((DEMO / "expected.json").read_text(encoding="utf-8"))
    assert len(ids) == len(set(ids)) == len(rows)
    assert len(queries) == len(expected["queries"])
    for number in (0, len(queries) - 1):
        hits = ref.knn("COSINE", ref.normalize_float32(queries[number]), ids, rows, expected["k"])
        assert [list(hit) for hit in hits] == expected["queries"][number]["hits"]
