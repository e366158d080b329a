"""Filters: conditions over a record's attributes, evaluated before ranking.

    stele.field("year") >= 2020
    (stele.field("lang") == "de") & ~stele.field("tags").contains("draft")
    {"all_of": [{"attribute": "year", "greater_or_equal": 2020}]}

Every function of the client that takes `filter=` takes any of: an expression like the first two,
the dict form (docs/cli.md, "Filters"; plain Python values are fine in it), the dict form as JSON
text, or a stele.v1.Filter.

A record without the attribute fails every test but `.missing()`. `~` is the logical negation, so
`~(field("year") >= 2020)` holds for a record without `year`, and `field("year") < 2020` does not.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Dict, Iterable, Mapping, Optional, Union

from google.protobuf import json_format

from stele.errors import InvalidArgument
from stele.values import parse_rfc3339, to_value, to_value_list
from stele.v1 import types_pb2

_GROUPS = ("all_of", "any_of", "none_of")
_LISTS = ("one_of", "not_one_of")
_SINGLE = (
    "equals", "not_equals", "less_than", "less_or_equal", "greater_than", "greater_or_equal",
    "contains",
)  # fmt: skip
_TYPED = (
    "bool_value", "int64_value", "double_value", "string_value", "bytes_value", "timestamp_micros",
)  # fmt: skip


_CAMEL = re.compile(r"(?<=[a-z])([A-Z])")


class Expression:
    """A filter under construction; combine with &, | and ~. Immutable."""

    __slots__ = ("_filter",)

    def __init__(self, message: types_pb2.Filter) -> None:
        self._filter = message

    def to_proto(self) -> types_pb2.Filter:
        """A copy of the protobuf message."""
        copy = types_pb2.Filter()
        copy.CopyFrom(self._filter)
        return copy

    def _join(self, kind: str, other: Expression) -> Expression:
        if not isinstance(other, Expression):
            raise TypeError(
                f"cannot combine a filter with {type(other).__name__}; put each comparison in "
                'parentheses: (field("a") == 1) & (field("b") == 2)'
            )
        result = types_pb2.Filter()
        parts = getattr(result, kind).filters
        for part in (self._filter, other._filter):
            # a & b & c is one group, not a tower: servers bound the depth.
            parts.extend(getattr(part, kind).filters if part.WhichOneof("kind") == kind else [part])
        return Expression(result)

    def __and__(self, other: Expression) -> Expression:
        return self._join("all_of", other)

    def __or__(self, other: Expression) -> Expression:
        return self._join("any_of", other)

    def __invert__(self) -> Expression:
        result = types_pb2.Filter()
        result.none_of.filters.append(self._filter)
        return Expression(result)

    def __bool__(self) -> bool:
        raise TypeError("a filter has no truth value: use & | ~ instead of and, or, not, a < x < b")

    def __repr__(self) -> str:
        return "stele.Expression(" + " ".join(str(self._filter).split()) + ")"


class Field:
    """One attribute by name; its comparisons make filters."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise InvalidArgument("field: the name of an attribute is a non-empty str")
        self.name = name

    def _test(self, test: str, value: Any) -> Expression:
        return Expression(_condition(self.name, test, value, f"field({self.name!r})"))

    def __eq__(self, value: Any) -> Expression:  # type: ignore[override]
        return self._test("equals", value)

    def __ne__(self, value: Any) -> Expression:  # type: ignore[override]
        return self._test("not_equals", value)

    def __lt__(self, value: Any) -> Expression:
        return self._test("less_than", value)

    def __le__(self, value: Any) -> Expression:
        return self._test("less_or_equal", value)

    def __gt__(self, value: Any) -> Expression:
        return self._test("greater_than", value)

    def __ge__(self, value: Any) -> Expression:
        return self._test("greater_or_equal", value)

    def in_(self, values: Iterable[Any]) -> Expression:
        """The attribute equals one of the values."""
        return self._test("one_of", values)

    def not_in(self, values: Iterable[Any]) -> Expression:
        """The attribute is there and equals none of the values."""
        return self._test("not_one_of", values)

    def contains(self, value: Any) -> Expression:
        """The attribute is a list that holds the value."""
        return self._test("contains", value)

    def exists(self) -> Expression:
        """The record has the attribute."""
        return self._test("exists", True)

    def missing(self) -> Expression:
        """The record has no such attribute."""
        return self._test("exists", False)

    def __repr__(self) -> str:
        return f"stele.field({self.name!r})"


def field(name: str) -> Field:
    """The attribute `name`, to compare: field("year") >= 2020."""
    return Field(name)


FilterLike = Union[Expression, types_pb2.Filter, Mapping[str, Any], str]


def to_filter(value: Optional[FilterLike]) -> Optional[types_pb2.Filter]:
    """The protobuf Filter of any accepted form; None stays None. Raises InvalidArgument."""
    if value is None or isinstance(value, types_pb2.Filter):
        return value
    if isinstance(value, Expression):
        return value.to_proto()
    if isinstance(value, str):
        try:
            value = json.loads(value, object_pairs_hook=_unique)
        except ValueError as error:
            raise InvalidArgument(f"filter: not JSON: {error}") from error
    if isinstance(value, Mapping):
        return _from_dict(value, "filter")
    raise InvalidArgument(
        f"filter: expected an expression such as field('year') >= 2020, a dict or a "
        f"stele.v1.Filter, got {type(value).__name__}"
    )


def _unique(pairs: Any) -> Dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError(f"a key occurs twice among {[key for key, _ in pairs]}")
    return result


def _from_dict(node: Any, where: str) -> types_pb2.Filter:
    if not isinstance(node, Mapping):
        raise InvalidArgument(f"{where}: expected an object, got {type(node).__name__}")
    # The protobuf JSON form writes oneOf where the contract has one_of.
    node = {_CAMEL.sub(r"_\1", str(key)).lower(): value for key, value in node.items()}
    if set(node) == {"condition"}:
        return _from_dict(node["condition"], f"{where}.condition")
    if "attribute" in node:
        tests = [key for key in node if key != "attribute"]
        if len(tests) != 1 or not isinstance(node["attribute"], str) or not node["attribute"]:
            raise InvalidArgument(
                f"{where}: a condition is an attribute name and exactly one test, "
                f"got the keys {sorted(map(str, node))}"
            )
        return _condition(node["attribute"], tests[0], node[tests[0]], f"{where}.{tests[0]}")
    if len(node) != 1 or next(iter(node)) not in _GROUPS:
        raise InvalidArgument(
            f"{where}: expected one of all_of, any_of, none_of, or a condition with 'attribute'; "
            f"got the keys {sorted(map(str, node))}"
        )
    kind, parts = next(iter(node.items()))
    if isinstance(parts, Mapping) and set(parts) <= {"filters"}:
        parts = parts.get("filters", [])
    if not isinstance(parts, (list, tuple)):
        raise InvalidArgument(f"{where}.{kind}: expected a list, got {type(parts).__name__}")
    result = types_pb2.Filter()
    group = getattr(result, kind)
    group.SetInParent()
    for position, part in enumerate(parts):
        item = to_filter(part) if isinstance(part, (Expression, types_pb2.Filter)) else None
        group.filters.append(item or _from_dict(part, f"{where}.{kind}[{position}]"))
    return result


def _condition(attribute: str, test: str, value: Any, where: str) -> types_pb2.Filter:
    result = types_pb2.Filter()
    result.condition.attribute = attribute
    if test == "exists":
        if not isinstance(value, bool):
            raise InvalidArgument(f"{where}: exists is true or false")
        result.condition.exists = value
    elif test in _LISTS:
        if isinstance(value, Mapping) and set(value) <= {"values"}:
            value = value.get("values", [])
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise InvalidArgument(f"{where}: expected a list of values, got {type(value).__name__}")
        target = getattr(result.condition, test)
        target.SetInParent()
        target.CopyFrom(to_value_list([_plain(v, where) for v in value], where))
    elif test in _SINGLE:
        getattr(result.condition, test).CopyFrom(to_value(_plain(value, where), where))
    else:
        raise InvalidArgument(
            f"{where}: unknown test {test!r}; there are exists, {', '.join(_LISTS + _SINGLE)}"
        )
    return result


def _plain(value: Any, where: str) -> Any:
    """Accepts typed JSON values beside plain ones.

    {"timestamp": "2026-01-02T03:04:05.5Z"}, {"bytes": "AP8="}, {"double": "Infinity"}, or the
    protobuf JSON form, {"int64_value": "5"}.
    """
    if not isinstance(value, Mapping):
        return value
    name: str = next(iter(value)) if len(value) == 1 else ""
    content: Any = value.get(name)
    try:
        if name == "timestamp":
            return types_pb2.Value(timestamp_micros=parse_rfc3339(content))
        if name == "bytes":
            return base64.b64decode(content, validate=True)
        if name == "double":
            return float(content)
        return json_format.ParseDict(dict(value), types_pb2.Value())
    except (json_format.ParseError, ValueError, TypeError) as error:
        raise InvalidArgument(
            f"{where}: expected a plain value, or an object with one of timestamp, bytes, double, "
            f"{', '.join(_TYPED)}: {error}"
        ) from error
