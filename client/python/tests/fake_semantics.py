"""Refusals, filters and vectors of the fake server."""

from fractions import Fraction

import grpc
import numpy as np

import stele
from stele.v1 import error_pb2, types_pb2

Code = grpc.StatusCode


class Rejected(Exception):
    """A refusal; logged ones consume the request id."""

    def __init__(self, code, reason, message, field="", metadata=None, logged=True):
        super().__init__(message)
        self.code = code
        self.logged = logged
        self.status = error_pb2.Status(code=code.value[0], message=message)
        info = error_pb2.ErrorInfo(reason=reason, domain="stele.v1", metadata=metadata or {})
        self._attach("google.rpc.ErrorInfo", info)
        if field:
            violation = error_pb2.BadRequest.FieldViolation(field=field, description=message)
            bad = error_pb2.BadRequest(field_violations=[violation])
            self._attach("google.rpc.BadRequest", bad)

    def _attach(self, name, message):
        detail = self.status.details.add()
        detail.type_url = "type.googleapis.com/" + name
        detail.value = message.SerializeToString()


def invalid(message, field="", reason="INVALID_REQUEST"):
    return Rejected(Code.INVALID_ARGUMENT, reason, message, field, logged=False)


def compare(stored, test, wanted):
    """One test of a value that is there."""
    numbers = ("int64_value", "double_value")
    kinds = (stored.WhichOneof("kind"), wanted.WhichOneof("kind"))
    if kinds[0] != kinds[1] and not all(k in numbers for k in kinds):
        return test == "not_equals"
    a, b = getattr(stored, kinds[0]), getattr(wanted, kinds[1])
    if all(k in numbers for k in kinds):
        a, b = Fraction(a), Fraction(b)
    if kinds[0] == "string_value":
        a, b = a.encode(), b.encode()
    return {
        "equals": a == b,
        "not_equals": a != b,
        "less_than": a < b,
        "less_or_equal": a <= b,
        "greater_than": a > b,
        "greater_or_equal": a >= b,
    }[test]


def matches(node, attributes):
    kind = node.WhichOneof("kind")
    if kind is None:
        return True
    if kind != "condition":
        parts = [matches(part, attributes) for part in getattr(node, kind).filters]
        return {"all_of": all(parts), "any_of": any(parts), "none_of": not any(parts)}[kind]
    condition = node.condition
    test = condition.WhichOneof("test")
    stored = attributes.get(condition.attribute)
    if test == "exists":
        return (stored is not None) == condition.exists
    if stored is None:
        return False
    if test in ("one_of", "not_one_of"):
        values = getattr(condition, test).values
        found = any(compare(stored, "equals", value) for value in values)
        return found == (test == "one_of")
    if test == "contains":
        items = stored.list_value.values
        return any(compare(item, "equals", condition.contains) for item in items)
    return compare(stored, test, getattr(condition, test))


def decode_vector(vector, config, field):
    form = vector.WhichOneof("form")
    if form is None:
        raise invalid("a vector is missing", field)
    if form == "floats":
        array = np.array(vector.floats.values, dtype=np.float32)
    elif form == "q16":
        array = stele.Q16.from_bytes(vector.q16)
    else:
        array = np.frombuffer(getattr(vector, form), dtype="<f4" if form == "float32" else "<f8")
    if len(array) != config.dimension:
        raise invalid(
            f"{len(array)} components, the collection has dimension {config.dimension}",
            field,
            "DIMENSION_MISMATCH",
        )
    try:
        cosine = config.metric == types_pb2.METRIC_COSINE
        return np.asarray(stele.normalize(array) if cosine else stele.quantize(array))
    except stele.VectorError as error:
        raise invalid(error.message, field, error.reason) from error


class Stored:
    def __init__(self, vector, attributes, document, version):
        self.vector, self.attributes = vector, attributes
        self.document, self.version = document, version
