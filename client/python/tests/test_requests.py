"""If these fail, requests are not what the caller wrote, or errors tell the wrong story.

No server is needed.
"""

import datetime
import json
import pickle

import grpc
import numpy as np
import pytest

import stele
from stele import _bulk, _requests, _session, _vectors, errors, filters, values
from stele.v1 import error_pb2, memory_service_pb2, types_pb2

UTC = datetime.timezone.utc


def session(**changes):
    arguments = dict(address="host", api_key=None, timeout=30.0, connect_timeout=5.0,
                     retry=stele.RetryPolicy(), read_your_writes=True)  # fmt: skip
    return _session.Session(**{**arguments, **changes})


@pytest.mark.parametrize(
    "given, expected",
    [
        ("host", "host:7420"),
        ("host:1", "host:1"),
        ("127.0.0.1", "127.0.0.1:7420"),
        ("[::1]", "[::1]:7420"),
        ("[::1]:80", "[::1]:80"),
        ("dns:///host:1", "dns:///host:1"),
        ("unix:/tmp/x", "unix:/tmp/x"),
    ],
)
def test_default_port(given, expected):
    assert session(address=given).address == expected


def test_arguments_are_checked():
    for changes in (dict(address=""), dict(api_key=""), dict(timeout=0), dict(timeout=True)):
        with pytest.raises(stele.InvalidArgument):
            session(**changes)
    with pytest.raises(stele.InvalidArgument, match="ca_file"):
        stele.Client("host", tls=stele.TlsConfig(ca_file="/nowhere/ca.pem"))
    with pytest.raises(stele.InvalidArgument, match="go together"):
        stele.Client("host", tls=stele.TlsConfig(cert_file="/nowhere/ca.pem"))
    with pytest.raises(stele.InvalidArgument, match="rows_max"):
        stele.BatchOptions(rows_max=0)


def test_the_key_never_shows():
    secret = "s3cr3t-key"
    client = stele.Client("host", api_key=secret)
    assert secret not in repr(client) and secret not in repr(client._session)
    assert secret not in repr(stele.AsyncClient("host", api_key=secret))
    with pytest.raises(stele.InvalidArgument) as caught:
        stele.Client("host", api_key=secret + "\n")
    assert secret not in str(caught.value)
    client.close()


@pytest.mark.parametrize(
    "value, form, data",
    [
        ([1.5], "float64", np.array([1.5], "<f8").tobytes()),
        ([1], "float64", np.array([1.0], "<f8").tobytes()),
        (np.array([1.5], np.float32), "float32", np.array([1.5], "<f4").tobytes()),
        (np.array([1.5], ">f4"), "float32", np.array([1.5], "<f4").tobytes()),
        (np.array([1.5], np.float16), "float32", np.array([1.5], "<f4").tobytes()),
        (np.array([1.5], np.float64), "float64", np.array([1.5], "<f8").tobytes()),
        (np.array([2**53 - 1]), "float64", np.array([2.0**53 - 1], "<f8").tobytes()),
        (np.array([255], np.uint8), "float64", np.array([255.0], "<f8").tobytes()),
        (stele.Q16([1]), "q16", b"\1\0\0\0"),
    ],
)
def test_wire_form_of_vectors(value, form, data):
    for message in (_vectors.to_vector(value), next(_vectors.to_vectors([value]))):
        assert message.WhichOneof("form") == form and getattr(message, form) == data
    if isinstance(value, np.ndarray):
        message = list(_vectors.to_vectors(value[np.newaxis].repeat(600, axis=0)))[599]
        assert message.WhichOneof("form") == form and getattr(message, form) == data


def test_vectors_that_cannot_travel():
    for bad in ([2**53], np.array([-(2**53)]), np.array([2**64 - 1], np.uint64), [2**70]):
        with pytest.raises(stele.InvalidArgument):
            _vectors.to_vector(bad)
    with pytest.raises(stele.VectorError) as caught:
        list(_vectors.to_vectors(np.array([[0, 0]] * 300 + [[0, 2**53]])))
    assert (caught.value.row, caught.value.component) == (300, 1)
    for bad in ([], [[1.0]], 1.0, "abc", ["1"], None, [None], [True], [1j]):
        with pytest.raises(stele.InvalidArgument):
            _vectors.to_vector(bad)
    for bad in (np.zeros(3), np.zeros((2, 0)), np.zeros((1, 1, 1)), "abc", 5):
        with pytest.raises(stele.InvalidArgument):
            list(_vectors.to_vectors(bad))


@pytest.mark.parametrize(
    "value, field, expected",
    [
        (True, "bool_value", True),
        (np.bool_(True), "bool_value", True),
        (7, "int64_value", 7),
        (np.uint8(7), "int64_value", 7),
        (7.0, "double_value", 7.0),
        (np.float32(0.5), "double_value", 0.5),
        ("x", "string_value", "x"),
        (np.str_("x"), "string_value", "x"),
        (b"x", "bytes_value", b"x"),
        (bytearray(b"x"), "bytes_value", b"x"),
        (datetime.datetime(1970, 1, 1, 0, 0, 1, 5, UTC), "timestamp_micros", 1000005),
        (datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), "timestamp_micros", -1),
        (datetime.datetime.max.replace(tzinfo=UTC), "timestamp_micros", 253402300799999999),
        (stele.Timestamp(-(2**63)), "timestamp_micros", -(2**63)),
    ],
)
def test_values(value, field, expected):
    message = values.to_value(value)
    assert message.WhichOneof("kind") == field and getattr(message, field) == expected
    back = values.from_value(message)
    assert back == (value.item() if isinstance(value, np.generic) else value)
    listed = values.to_value([value, value])
    assert [getattr(item, field) for item in listed.list_value.values] == [expected] * 2


def test_values_that_are_refused():
    for bad in (None, 2**63, -(2**63) - 1, {}, object(), 1j, [[1]], [1, 2.0], [1, True], [None],
                datetime.datetime(2020, 1, 1), datetime.date(2020, 1, 1), np.zeros((1, 1)),
                stele.Timestamp(2**63)):  # fmt: skip
        with pytest.raises(stele.InvalidArgument, match="attributes\\['x'\\]"):
            values.set_attributes(memory_service_pb2.RecordInput().attributes, {"x": bad})
    for bad in ([], {1: 2}, "x"):
        with pytest.raises(stele.InvalidArgument):
            values.set_attributes(memory_service_pb2.RecordInput().attributes, bad)


def test_filter_forms():
    year = stele.field("year")
    expression = (year >= 2020) & (year < 2030) & ~(year == 2025)
    message = expression.to_proto()
    # One flat group: servers bound the depth.
    assert len(message.all_of.filters) == 3
    assert message.all_of.filters[2].none_of.filters[0].condition.equals.int64_value == 2025
    text = (
        '{"all_of": [{"attribute": "year", "greater_or_equal": 2020},'
        '{"attribute": "year", "less_than": 2030},'
        '{"none_of": [{"attribute": "year", "equals": 2025}]}]}'
    )
    assert filters.to_filter(text) == message
    verbose = {"all_of": {"filters": [
        {"condition": {"attribute": "year", "greater_or_equal": {"int64_value": "2020"}}},
        {"condition": {"attribute": "year", "less_than": {"int64_value": 2030}}},
        {"none_of": {"filters": [{"condition": {"attribute": "year", "equals": 2025}}]}},
    ]}}  # fmt: skip
    assert filters.to_filter(verbose) == message
    camel = {"allOf": {"filters": [
        {"condition": {"attribute": "year", "greaterOrEqual": {"int64Value": "2020"}}},
        {"condition": {"attribute": "year", "lessThan": {"int64Value": "2030"}}},
        {"noneOf": {"filters": [{"condition": {"attribute": "year", "equals": 2025}}]}},
    ]}}  # fmt: skip
    assert filters.to_filter(camel) == message
    expression.to_proto().all_of.filters.pop()
    assert expression.to_proto() == message
    assert year.in_(()).to_proto().condition.WhichOneof("test") == "one_of"
    assert filters.to_filter({"any_of": []}).WhichOneof("kind") == "any_of"
    assert filters.to_filter(types_pb2.Filter()) == types_pb2.Filter()
    assert "2025" in repr(expression)


@pytest.mark.parametrize(
    "typed, expected",
    [
        ({"timestamp": "1970-01-01T00:00:01.5Z"}, types_pb2.Value(timestamp_micros=1500000)),
        ({"timestamp": "1970-01-01T01:00:00+01:00"}, types_pb2.Value(timestamp_micros=0)),
        ({"timestamp": "1969-12-31T23:59:59.999999Z"}, types_pb2.Value(timestamp_micros=-1)),
        ({"timestamp_micros": 5}, types_pb2.Value(timestamp_micros=5)),
        ({"bytes": "AP8="}, types_pb2.Value(bytes_value=b"\0\xff")),
        ({"double": "-Infinity"}, types_pb2.Value(double_value=-float("inf"))),
        ({"int64Value": "5"}, types_pb2.Value(int64_value=5)),
        (5.0, types_pb2.Value(double_value=5.0)),
    ],
)
def test_typed_values_in_filters(typed, expected):
    made = filters.to_filter(json.dumps({"attribute": "a", "equals": typed}))
    assert made.condition.equals == expected
    made = filters.to_filter({"attribute": "a", "one_of": [typed]})
    assert made.condition.one_of.values[0] == expected


def test_filters_that_are_refused():
    for typed in ({"timestamp": "yesterday"}, {"timestamp": 5}, {"bytes": "?"}, {"double": "x"},
                  {"timestamp": "2020-13-01T00:00:00Z"},
                  {"bytes": "AP8=", "double": 1}):  # fmt: skip
        with pytest.raises(stele.InvalidArgument):
            filters.to_filter({"attribute": "a", "equals": typed})
    with pytest.raises(stele.InvalidArgument, match="twice"):
        filters.to_filter('{"attribute": "a", "equals": 1, "equals": 2}')
    for bad in ({}, {"x": 1}, {"all_of": [], "any_of": []}, {"all_of": 1}, {"all_of": [1]}, "{",
                {"attribute": "a"}, {"attribute": "a", "equals": 1, "less_than": 2}, "[]", 5,
                {"attribute": "", "equals": 1}, {"attribute": "a", "exists": 1},
                {"attribute": "a", "like": "x"}, {"attribute": "a", "one_of": "xyz"},
                {"attribute": "a", "equals": {"no_value": 1}}, {"attribute": "a", "equals": None},
                {"attribute": "a", "one_of": [1, "x"]}):  # fmt: skip
        with pytest.raises(stele.InvalidArgument):
            filters.to_filter(bad)
    year = stele.field("year")
    with pytest.raises(TypeError, match="truth value"):
        assert 2000 < year < 2020
    with pytest.raises(TypeError, match="truth value"):
        assert (year > 1) and (year < 5)
    with pytest.raises(TypeError, match="parentheses"):
        (year > 1) & 5
    with pytest.raises(stele.InvalidArgument):
        stele.field("")


def test_operations_that_are_refused():
    for bad in (
        5,
        {"id": "a"},
        stele.Upsert("c", 5, [1]),
        stele.Upsert(5, "a", [1]),
        stele.Upsert("c", "a", [1], document=5),
        stele.Upsert("c", "a", [1], expected_version=-1),
        stele.UpdateAttributes("c", "a", remove="x"),
        stele.DeleteByFilter("c", None),
        stele.DeleteByFilter("c", {"all_of": []}, -1),
    ):
        with pytest.raises(stele.InvalidArgument, match=r"operations\[1\]"):
            _requests.write_request(session(), [stele.Delete("c", "x"), bad])


def batches(rows, options, limits=None, size=100):
    used = session(limits=limits)
    vector = np.zeros(size, dtype=np.float32)
    source = _bulk.record_operations("c", rows, [vector] * len(rows), None, None, False)
    return list(_bulk.batches(used, source, options))


def test_batches_stay_within_rows_and_bytes():
    ids = [f"{i:03}" for i in range(100)]
    made = batches(ids, stele.BatchOptions(rows_max=33))
    assert [len(batch.rows) for batch in made] == [33, 33, 33, 1]
    made = batches(ids, stele.BatchOptions(bytes_max=5000))
    assert all(batch.request.ByteSize() <= 5100 for batch in made) and 8 < len(made) < 12
    assert [row for batch in made for row in batch.rows] == list(range(100))
    names = [op.upsert.id for batch in made for op in batch.request.operations]
    assert names == ids and len({batch.request.request_id for batch in made}) == len(made)
    made = batches(ids, stele.BatchOptions(), stele.Limits(max_operations=7))
    assert max(len(batch.rows) for batch in made) == 7
    made = batches(ids, stele.BatchOptions(), stele.Limits(max_atomic_bytes=4000))
    assert max(batch.request.ByteSize() for batch in made) < 2000
    made = batches(ids, stele.BatchOptions(bytes_max=1))
    assert len(made) == 100
    with pytest.raises(stele.InvalidArgument, match="row 0 .id '000'.*65536"):
        batches(ids, stele.BatchOptions(), stele.Limits(max_message_bytes=65536), size=20000)
    made = batches(list("abcabd"), stele.BatchOptions())
    assert [len(batch.rows) for batch in made] == [3, 3]


def test_window():
    window = _bulk.Window(stele.BatchOptions(window=2, window_bytes=10**6))
    requests = [_requests.write_request(session(), stele.Delete("c", str(i))) for i in range(3)]
    for request in requests[:2]:
        assert window.has_room()
        window.add(request)
    assert not window.has_room()
    sent = [message.write.request_id for message in window.unsent()]
    assert sent == [r.request_id for r in requests[:2]] and list(window.unsent()) == []
    window.acknowledge(sent[0])
    assert window.has_room() and len(window) == 1
    window.add(requests[2])
    window.reconnect()
    assert [m.write.request_id for m in window.unsent()] == [r.request_id for r in requests[1:]]
    with pytest.raises(stele.Internal, match="order"):
        window.acknowledge(requests[2].request_id)
    small = _bulk.Window(stele.BatchOptions(window_bytes=1))
    small.add(requests[0])
    assert not small.has_room()
    with pytest.raises(stele.InvalidArgument):
        small.add(memory_service_pb2.WriteRequest())


class FakeRpcError:
    def __init__(self, code, details="", metadata=()):
        self.code, self.details = (lambda: code), (lambda: details)
        self.trailing_metadata = lambda: metadata


def test_what_counts_as_a_lost_connection():
    lost, code = _session.connection_lost, grpc.StatusCode
    ours = ((errors.DETAILS_KEY, error_pb2.Status(code=2, message="x").SerializeToString()),)
    assert lost(FakeRpcError(code.UNAVAILABLE)) and lost(FakeRpcError(code.UNAVAILABLE, "", ours))
    assert lost(FakeRpcError(code.UNKNOWN, "Stream removed"))
    assert lost(FakeRpcError(code.INTERNAL, "Received RST_STREAM with error code 2"))
    assert lost(FakeRpcError(code.CANCELLED, "CANCELLED"))
    assert not lost(FakeRpcError(code.CANCELLED, "CANCELLED", ours))
    assert not lost(FakeRpcError(code.UNKNOWN, "Stream removed", ours))
    for other in set(code) - {code.UNAVAILABLE}:
        assert not lost(FakeRpcError(other, "something"))


def test_retry_budget(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(_session.time, "monotonic", lambda: now[0])
    gone, late = stele.Unavailable("gone"), stele.DeadlineExceeded("late")
    attempts = _session.Attempts(stele.RetryPolicy(attempt_timeout=2.0), 10.0, 10.0)
    pauses = []
    with pytest.raises(stele.Unavailable):
        while True:
            pauses.append(attempts.pause(gone, True))
            assert attempts.attempt_timeout() <= 2.0
            now[0] += pauses[-1]
            assert now[0] < 110.0
    assert all(p <= 2.0 for p in pauses) and pauses[0] <= 0.05 and 8 <= len(pauses) < 20
    now[0] = 109.5
    assert attempts.attempt_timeout() == 0.5
    now[0] = 110.5
    assert attempts.attempt_timeout() == 0.0
    # Time ran out while the server was unavailable: that is the cause.
    with pytest.raises(stele.Unavailable):
        attempts.pause(late, False)
    attempts.restart()
    assert attempts.pause(late, False) > 0
    now[0] += 10.0
    with pytest.raises(stele.DeadlineExceeded):
        attempts.pause(late, False)
    with pytest.raises(stele.Aborted):
        _session.Attempts(stele.RetryPolicy(), 10.0, 10.0).pause(stele.Aborted("moved"), False)
    with pytest.raises(stele.Unavailable):
        _session.Attempts(stele.RetryPolicy(attempts_max=1), 10.0, 10.0).pause(gone, True)


def test_first_contact_is_short():
    fresh = session(connect_timeout=0.001)
    with pytest.raises(stele.Unavailable):
        fresh.attempts(None).pause(stele.Unavailable("gone"), True)
    fresh.observe(5)
    assert fresh.attempts(None).pause(stele.Unavailable("gone"), True) > 0
    fresh.observe(3)
    assert fresh.last_index == 5


def status(code, message, *details):
    result = error_pb2.Status(code=code, message=message)
    for name, detail in details:
        item = result.details.add(type_url="type.googleapis.com/" + name)
        item.value = detail if isinstance(detail, bytes) else detail.SerializeToString()
    return result


def test_error_from_status():
    violation = error_pb2.BadRequest.FieldViolation(field="a[0].b", description="too long")
    error = errors.from_status(
        status(
            10, "it moved",
            ("google.rpc.ErrorInfo", error_pb2.ErrorInfo(
                reason="VERSION_MISMATCH", domain="stele.v1", metadata={"current_version": "5"})),
            ("google.rpc.BadRequest", error_pb2.BadRequest(field_violations=[violation])),
            ("google.rpc.ErrorInfo", b"\xff\xff"),
            ("google.rpc.Unheard", b"\xff\xff"),
        ),
        method="Write", address="host:1", request_id="r",
    )  # fmt: skip
    assert type(error) is stele.Aborted and error.reason == "VERSION_MISMATCH"
    assert error.metadata == {"current_version": "5"} and error.field == "a[0].b"
    assert error.violations == [("a[0].b", "too long")] and error.request_id == "r"
    text = str(error)
    for part in ("ABORTED", "VERSION_MISMATCH", "it moved", "a[0].b", "too long",
                 "current_version=5", "Write", "host:1"):  # fmt: skip
        assert part in text
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            made = errors.from_status(status(code.value[0], "m"))
            assert made.code == code.name and "m" in str(made)
    assert type(errors.from_status(status(99, "m"))) is stele.Unknown


def test_errors_can_be_pickled():
    error = errors.from_status(status(5, "gone"), method="Search", address="h:1")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is stele.NotFound and str(back) == str(error)
    error = stele.VectorError("bad", reason="X", row=3, component=4)
    back = pickle.loads(pickle.dumps(error))
    assert (back.row, back.component, back.reason) == (3, 4, "X")
    assert issubclass(stele.VectorError, ValueError)


def test_public_names():
    for name in stele.__all__:
        assert getattr(stele, name) is not None
    # Both clients have the same methods with the same arguments.
    import inspect

    for name, member in vars(stele.Client).items():
        if not name.startswith("_") and callable(member):
            other = getattr(stele.AsyncClient, name)
            mine, others = inspect.signature(member), inspect.signature(other)
            assert list(mine.parameters) == list(others.parameters), name
            assert member.__doc__, name
            assert other.__doc__, name
