"""nn_requant.h and its numpy twin against exact integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen.requant import Rounding, divide, requant

from .library import Library, Requant
from .oracle import requant_exact, round_quotient

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
BOUNDS = st.tuples(INT32, INT32).map(lambda pair: (min(pair), max(pair)))


def in_c(library: Library, function: str, values: list[list[int]], r: Requant) -> list[int]:
    arrays = [np.array(v, np.int64) for v in values]
    y = np.zeros(len(values[0]), np.int32)
    library.call(function, *arrays, len(y), r, y)
    return y.tolist()


def test_roundings_differ_where_they_should() -> None:
    halves = {r: [round_quotient(n, 4, r) for n in (-7, -6, -5, -2, 2, 5, 6, 7)] for r in Rounding}
    assert halves[Rounding.FLOOR] == [-2, -2, -2, -1, 0, 1, 1, 1]
    assert halves[Rounding.NEAREST] == [-2, -1, -1, 0, 1, 1, 2, 2]
    assert halves[Rounding.TRUNC] == [-1, -1, -1, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("rounding", Rounding)
def test_all_8_bit_numbers(library: Library, rounding: Rounding) -> None:
    acc = list(range(-128, 128))
    for shift in range(-31, 63):
        for low, high in ((-(2**31), 2**31 - 1), (-100, 90), (0, 127)):
            r = Requant(shift, rounding, low, high)
            expected = [requant_exact(a, r) for a in acc]
            assert in_c(library, "map_requant_i64", [acc], r) == expected
            assert requant(np.array(acc), shift, rounding, low, high).tolist() == expected
            if shift <= 31:
                assert in_c(library, "map_requant_i32", [acc], r) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(INT32, min_size=1), st.integers(-31, 31), st.sampled_from(Rounding), BOUNDS)
def test_32_bits(
    library: Library, acc: list[int], shift: int, rounding: Rounding, bounds: tuple[int, int]
) -> None:
    r = Requant(shift, rounding, *bounds)
    expected = [requant_exact(a, r) for a in acc]
    assert in_c(library, "map_requant_i32", [acc], r) == expected
    assert in_c(library, "map_requant_i64", [acc], r) == expected
    assert requant(np.array(acc), shift, rounding, *bounds).tolist() == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(INT64, min_size=1), st.integers(-31, 62), st.sampled_from(Rounding), BOUNDS)
def test_64_bits(
    library: Library, acc: list[int], shift: int, rounding: Rounding, bounds: tuple[int, int]
) -> None:
    r = Requant(shift, rounding, *bounds)
    expected = [requant_exact(a, r) for a in acc]
    assert in_c(library, "map_requant_i64", [acc], r) == expected
    assert requant(np.array(acc), shift, rounding, *bounds).tolist() == expected


@pytest.mark.parametrize("rounding", Rounding)
def test_all_quotients_of_small_sums(library: Library, rounding: Rounding) -> None:
    total, count = (grid.reshape(-1) for grid in np.meshgrid(np.arange(-128, 128), np.arange(1, 18)))
    for shift in range(-31, 32):
        r = Requant(shift, rounding, -(2**31), 2**31 - 1)
        expected = [requant_exact(int(t), r, int(c)) for t, c in zip(total, count, strict=True)]
        assert in_c(library, "map_divide", [total.tolist(), count.tolist()], r) == expected
        assert divide(total, count, shift, rounding, r.low, r.high).tolist() == expected


@settings(max_examples=300, deadline=None)
@given(INT32, st.integers(1, 2**30), st.integers(-31, 31), st.sampled_from(Rounding), BOUNDS)
def test_quotients(
    library: Library, total: int, count: int, shift: int, rounding: Rounding, bounds: tuple[int, int]
) -> None:
    r = Requant(shift, rounding, *bounds)
    expected = [requant_exact(total, r, count)]
    assert in_c(library, "map_divide", [[total], [count]], r) == expected
    assert divide(np.array([total]), np.array([count]), shift, rounding, *bounds).tolist() == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(width=32), min_size=1), st.sampled_from([(-128, 127), (-(2**15), 2**15 - 1), (-5, 90)])
)
def test_floats(library: Library, values: list[float], bounds: tuple[int, int]) -> None:
    low, high = bounds
    x = np.array([*values, np.nan, np.inf, -np.inf, -0.5, 0.5, 1.5, 0.49999997, -0.50000006], np.float32)
    y = np.zeros(len(x), np.int32)
    library.call("map_round", x, len(x), low, high, y)
    for value, rounded in zip(x.tolist(), y.tolist(), strict=True):
        if value != value or value <= low:
            assert rounded == low
        elif value >= high:
            assert rounded == high
        else:
            numerator, denominator = value.as_integer_ratio()
            assert rounded == round_quotient(numerator, denominator, Rounding.NEAREST)
