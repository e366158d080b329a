"""If these fail, the client and the server disagree about the bits of a vector."""

import json
import pathlib
from fractions import Fraction

import numpy as np
import pytest

import stele
from stele import arithmetic

SHARED = pathlib.Path(__file__).resolve().parents[3] / "tests" / "vectors" / "quantize.json"

REASONS = {
    "not_finite": arithmetic.NOT_FINITE,
    "component_range": arithmetic.COMPONENT_RANGE,
    "norm_range": arithmetic.NORM_RANGE,
    "becomes_zero": arithmetic.BECOMES_ZERO,
    "zero_vector": arithmetic.ZERO_VECTOR,
}
FUNCTIONS = {
    "check_admitted": stele.quantize,
    "quantize_float32": stele.quantize,
    "quantize_float64": stele.quantize,
    "normalize_float32": stele.normalize,
    "normalize_float64": stele.normalize,
    "normalize_q16": stele.normalize,
}


def expand(runs):
    values = []
    for item in runs:
        values += [item[1]] * item[0] if isinstance(item, list) else [item]
    return values


def input_array(function, runs):
    values = expand(runs)
    if function.endswith("float32"):
        return np.array([int(v, 16) for v in values], dtype=np.uint32).view(np.float32)
    if function.endswith("float64"):
        return np.array([int(v, 16) for v in values], dtype=np.uint64).view(np.float64)
    return stele.Q16(np.array(values, dtype=np.int64))


def shared_cases():
    if not SHARED.is_file():
        return []
    return json.loads(SHARED.read_text())["cases"]


@pytest.mark.skipif(not SHARED.is_file(), reason="outside the repository")
def test_shared_vectors_are_there():
    assert {case["function"] for case in shared_cases()} == set(FUNCTIONS)
    assert {case["fault"] for case in shared_cases()} == set(REASONS) | {"none"}


@pytest.mark.parametrize("case", shared_cases(), ids=lambda case: case["name"])
def test_shared_vector(case):
    function = FUNCTIONS[case["function"]]
    array = input_array(case["function"], case["input"])
    # Alone, as the last row of a matrix, and in the other byte order: one result.
    matrix = stele.Q16(np.stack([array])) if isinstance(array, stele.Q16) else np.stack([array])
    forms = [array, matrix]
    if not isinstance(array, stele.Q16):
        forms.append(array.astype(array.dtype.newbyteorder("S")))
    for form in forms:
        if case["fault"] == "none":
            result = function(form)
            assert result.dtype == np.int32 and isinstance(result, stele.Q16)
            assert result.shape == form.shape
            if "output" in case:
                assert result.ravel().tolist() == expand(case["output"])
            continue
        with pytest.raises(stele.VectorError) as caught:
            function(form)
        assert caught.value.reason == REASONS[case["fault"]]
        if case["fault"] in ("not_finite", "component_range"):
            assert caught.value.component == case["component"]
            assert f"component {case['component']} " in str(caught.value)
        else:
            assert caught.value.component is None
        assert caught.value.row == (0 if form.ndim == 2 else None)


def test_random_patterns_equal_exact_rationals():
    rng = np.random.default_rng(1)
    for unsigned, real, low, high in (
        (np.uint16, np.float16, 0, 2**16),
        (np.uint32, np.float32, 0, 2**32),
        (np.uint64, np.float64, 0, 2**64 - 1),
    ):
        patterns = rng.integers(low, high, size=4000, dtype=unsigned)
        numbers = patterns.view(real)
        numbers = np.concatenate([numbers, rng.uniform(-2, 2, 4000).astype(real)])
        for x in numbers[np.isfinite(numbers)]:
            expected = round(Fraction(float(x)) * 65536)
            try:
                result = int(stele.quantize(np.array([x, 1.0], dtype=real))[0])
            except stele.VectorError:
                assert abs(expected) >= 2**30
            else:
                assert result == expected


def test_integers_mean_values():
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64):
        assert stele.quantize(np.array([1, 0, 3], dtype=dtype)).tolist() == [65536, 0, 196608]
    assert stele.quantize([1, -2]).tolist() == [65536, -131072]
    for value in (2**53, -(2**53), -(2**63), 16384):
        with pytest.raises(stele.VectorError) as caught:
            stele.normalize([0, value]) if abs(value) >= 2**53 else stele.quantize([0, value])
        assert caught.value.component == 1
    assert stele.normalize([2**53 - 1, 0]).tolist() == [65536, 0]


def test_rows_are_named():
    rows = np.ones((5, 3), dtype=np.float32)
    rows[3, 2] = np.inf
    for function in (stele.quantize, stele.normalize):
        with pytest.raises(stele.VectorError, match="row 3, component 2") as caught:
            function(rows)
        assert (caught.value.row, caught.value.component) == (3, 2)
    rows[3, 2], rows[4] = 0, 0
    with pytest.raises(stele.VectorError, match="row 4"):
        stele.normalize(rows)
    rows[4] = 1e-9
    with pytest.raises(stele.VectorError, match="row 4"):
        stele.quantize(rows)


def test_matrix_equals_rows():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(50, 96)).astype(np.float32) * 10.0 ** rng.integers(-3, 3, size=(50, 1))
    for function in (stele.quantize, stele.normalize):
        assert np.array_equal(function(rows), np.stack([function(row) for row in rows]))


def test_normalized_is_a_fixed_point():
    rng = np.random.default_rng(3)
    for dimension in (1, 2, 3, 17, 768, 32768):
        unit = stele.normalize(rng.normal(size=dimension))
        assert np.array_equal(stele.normalize(unit), unit)


def test_what_is_not_a_vector_is_refused():
    for bad in (["a"], [True], [1j], [None], [[1.0], [1.0, 2.0]], np.longdouble([1]), 3.0,
                np.ma.masked_array([1.0, 2.0], mask=[0, 1]), np.zeros((1, 1, 1))):  # fmt: skip
        with pytest.raises(stele.InvalidArgument):
            stele.quantize(bad)


def test_q16_is_raw_and_stays_raw_only_while_unchanged():
    raw = stele.Q16([65536, -32768])
    assert stele.quantize(raw) is raw and raw.to_float().tolist() == [1.0, -0.5]
    assert isinstance(raw[:1], stele.Q16)
    assert not isinstance(raw / 65536, stele.Q16) and not isinstance(raw + raw, stele.Q16)
    with pytest.raises(stele.InvalidArgument):
        stele.quantize(raw.astype(np.float32))
    for bad in ([1.5], [2**31], [-(2**31) - 1]):
        with pytest.raises(stele.InvalidArgument):
            stele.Q16(bad)
    assert stele.Q16.from_bytes(b"\x01\0\0\0\xff\xff\xff\xff").tolist() == [1, -1]
