"""Attribute values: Python objects to stele.v1.Value and back.

    bool -> bool_value, int -> int64_value, float -> double_value, str -> string_value,
    bytes -> bytes_value, datetime (with a timezone) or Timestamp -> timestamp_micros,
    list, tuple or one-dimensional numpy array of one of these -> list_value

NumPy scalars count as the Python type they stand for.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Union

import numpy as np

from stele.errors import InvalidArgument
from stele.v1 import types_pb2

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MICROSECOND = datetime.timedelta(microseconds=1)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, order=True)
class Timestamp:
    """Microseconds since 1970-01-01T00:00:00Z, for instants outside datetime's years 1..9999."""

    micros: int


Scalar = Union[bool, int, float, str, bytes, datetime.datetime, Timestamp]
AttributeValue = Union[Scalar, List[Any]]
Attributes = Mapping[str, Any]


def to_value(value: Any, where: str = "value") -> types_pb2.Value:
    """A protobuf Value. `where` names the attribute in errors. Raises InvalidArgument."""
    if isinstance(value, types_pb2.Value):
        return value
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            raise _refuse(where, f"arrays must have one dimension, this one has {value.ndim}")
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return types_pb2.Value(list_value=to_value_list(value, where))
    return _scalar(value, where)


def to_value_list(values: Any, where: str = "value") -> types_pb2.ValueList:
    """A protobuf ValueList of scalars that all have one type. Raises InvalidArgument."""
    result = types_pb2.ValueList()
    for position, value in enumerate(values):
        item = (
            value if isinstance(value, types_pb2.Value) else _scalar(value, f"{where}[{position}]")
        )
        result.values.append(item)
    kinds = sorted({str(item.WhichOneof("kind")) for item in result.values})
    if len(kinds) > 1:
        raise _refuse(where, "a list holds one type of scalar, this one mixes " + ", ".join(kinds))
    return result


def _scalar(value: Any, where: str) -> types_pb2.Value:
    if isinstance(value, np.generic) and not isinstance(value, (str, bytes)):
        value = value.item()
    # bool before int: True is an int to Python.
    if isinstance(value, bool):
        return types_pb2.Value(bool_value=value)
    if isinstance(value, int):
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise _refuse(where, f"{value} does not fit in 64 bits; store it as str or float")
        return types_pb2.Value(int64_value=value)
    if isinstance(value, float):
        return types_pb2.Value(double_value=value)
    if isinstance(value, str):
        try:
            return types_pb2.Value(string_value=value)
        except (ValueError, UnicodeError) as error:
            raise _refuse(where, f"not encodable as UTF-8: {error}") from error
    if isinstance(value, (bytes, bytearray, memoryview)):
        return types_pb2.Value(bytes_value=bytes(value))
    if isinstance(value, datetime.datetime):
        if value.utcoffset() is None:
            raise _refuse(where, "a datetime needs a timezone, e.g. datetime.timezone.utc")
        return types_pb2.Value(timestamp_micros=(value - EPOCH) // _MICROSECOND)
    if isinstance(value, Timestamp):
        if not _INT64_MIN <= value.micros <= _INT64_MAX:
            raise _refuse(where, f"timestamp {value.micros} does not fit in 64 bits")
        return types_pb2.Value(timestamp_micros=value.micros)
    if value is None:
        raise _refuse(where, "None is not a value; leave the attribute out, or remove it")
    raise _refuse(
        where,
        f"{type(value).__name__} is not a type of attribute; use bool, int, float, str, bytes, "
        "datetime or a list of one of these",
    )


def from_value(value: types_pb2.Value) -> AttributeValue:
    """The Python object of a Value: timestamps become datetime in UTC, or Timestamp outside it."""
    kind = value.WhichOneof("kind")
    if kind is None:
        raise InvalidArgument(
            "the server sent a value of a kind this client does not know; update it"
        )
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    if kind == "timestamp_micros":
        try:
            return EPOCH + datetime.timedelta(microseconds=value.timestamp_micros)
        except OverflowError:
            return Timestamp(value.timestamp_micros)
    result: AttributeValue = getattr(value, kind)
    return result


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?([Zz]|[+-]\d\d:\d\d)")


def parse_rfc3339(text: str) -> int:
    """Microseconds since 1970 of a date and time such as 2026-01-02T03:04:05.123456Z.

    Raises ValueError.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not like 2026-01-02T03:04:05.123456Z")
    date, clock, fraction, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone
    instant = datetime.datetime.fromisoformat(f"{date}T{clock}{zone}")
    return (instant - EPOCH) // _MICROSECOND + int((fraction or "").ljust(6, "0"))


def from_attributes(attributes: Mapping[str, types_pb2.Value]) -> Dict[str, AttributeValue]:
    """All attributes of a record, by name in order."""
    return {name: from_value(attributes[name]) for name in sorted(attributes)}


def set_attributes(target: Any, attributes: Attributes, where: str = "attributes") -> None:
    """Fills a protobuf map<string, Value>."""
    if not isinstance(attributes, Mapping):
        raise _refuse(
            where, f"expected a mapping of names to values, got {type(attributes).__name__}"
        )
    for name, value in attributes.items():
        if not isinstance(name, str):
            raise _refuse(where, f"attribute names are str, got {type(name).__name__}")
        target[name].CopyFrom(to_value(value, f"{where}[{name!r}]"))


def _refuse(where: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"{where}: {problem}")
