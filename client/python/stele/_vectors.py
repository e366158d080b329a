"""Vectors as they travel: NumPy arrays and lists to stele.v1.Vector.

Nothing is rounded here; the server converts once, by one rule. float32 and float16 travel as
binary32, float64, lists and integers as binary64 (exact, or refused), Q16 as raw int32.
"""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Tuple

import numpy as np

from stele.arithmetic import COMPONENT_RANGE, Q16, first_inexact_integer, numeric
from stele.errors import InvalidArgument, VectorError
from stele.v1 import types_pb2

# Rows of a large array that are converted at a time.
_BLOCK_ROWS = 256


def to_vector(values: Any, where: str = "vector") -> types_pb2.Vector:
    """One vector, shape [d]. `where` names it in errors. Raises InvalidArgument."""
    if isinstance(values, types_pb2.Vector):
        return values
    array = values if isinstance(values, Q16) else numeric(values, where)
    if array.ndim != 1 or array.size == 0:
        raise InvalidArgument(f"{where}: expected shape [d] with d > 0, got {list(array.shape)}")
    form, wire = _wire_form(array, where, 0)
    return types_pb2.Vector(**{form: wire.tobytes()})


def to_vectors(values: Any, where: str = "vectors") -> Iterator[types_pb2.Vector]:
    """Vectors one by one, from an array of shape [n, d] or any iterable of vectors."""
    if not isinstance(values, (list, tuple)) and hasattr(values, "__array__"):
        return _matrix(values if isinstance(values, Q16) else numeric(values, where), where)
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidArgument(
            f"{where}: expected shape [n, d] or an iterable of vectors, got {type(values).__name__}"
        )
    return (to_vector(value, f"{where}[{row}]") for row, value in enumerate(values))


def _matrix(array: Any, where: str) -> Iterator[types_pb2.Vector]:
    if array.ndim != 2 or (len(array) and array.shape[1] == 0):
        raise InvalidArgument(f"{where}: expected shape [n, d], got {list(array.shape)}")

    def rows() -> Iterator[types_pb2.Vector]:
        for start in range(0, len(array), _BLOCK_ROWS):
            form, block = _wire_form(array[start : start + _BLOCK_ROWS], where, start)
            for row in block:
                yield types_pb2.Vector(**{form: row.tobytes()})

    return rows()


def _wire_form(array: Any, where: str, first_row: int) -> Tuple[str, Any]:
    """The field of stele.v1.Vector and the array in that field's element type."""
    if isinstance(array, Q16):
        if array.dtype != np.int32:
            raise InvalidArgument(f"{where}: Q16 holds int32, this one became {array.dtype}")
        return "q16", np.asarray(array).astype("<i4", copy=False)
    if array.dtype.kind == "f":
        if array.dtype.itemsize <= 4:
            return "float32", array.astype("<f4", copy=False)
        return "float64", array.astype("<f8", copy=False)
    position = first_inexact_integer(array)
    if position is not None:
        row, component = divmod(position, array.shape[-1])
        row += first_row
        raise VectorError(
            f"{where}: " + (f"row {row}, " if array.ndim == 2 else "")
            + f"component {component} is an integer of 2^53 or more, not exact as float64",
            reason=COMPONENT_RANGE, row=row if array.ndim == 2 else None, component=component,
        )  # fmt: skip
    return "float64", array.astype("<f8")
