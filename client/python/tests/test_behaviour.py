"""If these fail, an application sees the wrong thing. They hold for every server."""

import asyncio
import datetime
import math
import time

import numpy as np
import pytest

import stele

UTC = datetime.timezone.utc


def test_collections(client, name):
    made = client.create_collection(name, 5, "cosine", description="what it is for")
    assert (made.name, made.dimension, made.metric) == (name, 5, stele.Metric.COSINE)
    assert made.description == "what it is for" and made.record_count == 0
    assert len(made.records_root) == 32 and made.created_index > 0
    assert client.get_collection(name).created_index == made.created_index
    assert name in [collection.name for collection in client.list_collections()]
    with pytest.raises(stele.AlreadyExists):
        client.create_collection(name, 5, "cosine")
    client.upsert(name, ["a", "b"], np.eye(5)[:2])
    assert client.drop_collection(name) == 2
    with pytest.raises(stele.NotFound):
        client.get_collection(name)
    with pytest.raises(stele.NotFound):
        client.search(name, np.ones(5))
    with pytest.raises(LookupError):
        client.drop_collection(name)


def test_collections_over_several_pages(client, name):
    names = [f"{name}-{i:03}" for i in range(120)]
    for each in names:
        client.create_collection(each, 1)
    listed = [c.name for c in client.list_collections()]
    assert listed == sorted(listed, key=str.encode)
    assert [each for each in listed if each.startswith(name)] == names
    for each in names:
        client.drop_collection(each)


def test_bad_collections_are_refused(client, name):
    for arguments in ((name, 0), (name, 40000), ("", 3)):
        with pytest.raises(stele.InvalidArgument):
            client.create_collection(*arguments)
    with pytest.raises(stele.InvalidArgument, match="'l2', 'dot', 'cosine'"):
        client.create_collection(name, 3, "manhattan")
    with pytest.raises(stele.InvalidArgument):
        client.create_collection(name, -1)


ATTRIBUTES = {
    "bool": True,
    "int": -(2**63),
    "double": 0.1,
    "string": "Grüße",
    "bytes": b"\0\xff",
    "time": datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    "tags": ["a", "b"],
    "numbers": [1, 2, 3],
    "empty": [],
}


def test_a_record_comes_back_as_it_went_in(client, notes):
    vector = np.array([1.0, -0.5, 2.0**-16], dtype=np.float32)
    result = client.write([stele.Upsert(notes, "ä", vector, ATTRIBUTES, b"\0doc")])
    assert (result.inserted_count, result.updated_count, result.duplicate) == (1, 0, False)
    found = client.get(notes, ["ä", "absent"])
    assert found.missing_ids == ["absent"] and len(found) == 1
    record = found[0]
    assert (record.id, record.version) == ("ä", result.position.log_index)
    assert record.vector.dtype == np.int32 and record.vector.tolist() == [65536, -32768, 1]
    assert record.vector_float.tolist() == [1.0, -0.5, 2.0**-16]
    assert record.attributes == ATTRIBUTES and record.document == b"\0doc"
    assert type(record.attributes["bool"]) is bool and type(record.attributes["int"]) is int
    bare = client.get(notes, "ä", with_vector=False, with_attributes=False, with_document=False)[0]
    assert bare.vector is bare.attributes is bare.document is bare.vector_float is None


@pytest.mark.parametrize(
    "vector",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3], dtype=np.float16),
        np.array([1, 2, 3], dtype=">f4"),
        np.array([1, 2, 3], dtype=">f8"),
        np.array([1, 2, 3], dtype=np.uint8),
        np.array([1, 9, 2, 9, 3, 9], dtype=np.float32)[::2],
        stele.Q16([1 << 16, 2 << 16, 3 << 16]),
        stele.quantize([1.0, 2.0, 3.0]),
    ],
    ids=repr,
)
def test_forms_of_vectors_mean_the_same(client, notes, vector):
    client.upsert(notes, ["a"], [vector])
    client.write([stele.Insert(notes, "b", vector)])
    assert [r.vector_float.tolist() for r in client.get(notes, ["a", "b"])] == [[1, 2, 3]] * 2
    assert [hit.distance_raw for hit in client.search(notes, vector)] == [0, 0]


def test_client_and_server_agree_on_bits(client, name):
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(20, 33)) * 10.0 ** rng.integers(-3, 3, size=(20, 1))
    for metric, function in (("l2", stele.quantize), ("cosine", stele.normalize)):
        client.create_collection(f"{name}-{metric}", 33, metric)
        for dtype in (np.float16, np.float32, np.float64):
            typed = rows.astype(dtype)
            ids = [f"{i:02}" for i in range(20)]
            client.upsert(f"{name}-{metric}", ids, typed)
            stored = [r.vector for r in client.get(f"{name}-{metric}", ids)]
            assert np.array_equal(np.stack(stored), function(typed))
            # What was read is written back unchanged.
            client.upsert(f"{name}-{metric}", ids, stored)
            again = [r.vector for r in client.get(f"{name}-{metric}", ids)]
            assert np.array_equal(np.stack(again), np.stack(stored))
        client.drop_collection(f"{name}-{metric}")


def test_write_operations(client, notes):
    first = client.write(
        [stele.Upsert(notes, i, [1, 2, 3], {"year": 2020, "old": True}) for i in "abc"]
    )
    assert first.inserted_count == 3
    version = first.position.log_index
    result = client.write(
        [
            stele.UpdateAttributes(notes, "a", {"year": 2021}, ["old"], expected_version=version),
            stele.Upsert(notes, "b", [0, 0, 0], expected_version=version),
            stele.Upsert(notes, "d", [4, 5, 6], must_not_exist=True),
            stele.Delete(notes, "c", expected_version=version),
            stele.Delete(notes, "absent"),
        ]
    )
    assert (result.inserted_count, result.updated_count) == (1, 2)
    assert (result.deleted_count, result.missing_count) == (1, 1)
    a, b, d = client.get(notes, ["a", "b", "d"])
    assert a.attributes == {"year": 2021} and a.vector_float.tolist() == [1, 2, 3]
    assert b.attributes == {} and a.version == b.version == d.version == result.position.log_index
    assert client.update_attributes(notes, "a", {"x": 1}).updated_count == 1
    assert client.update_attributes(notes, "a", remove=["year"]).updated_count == 1
    assert client.get(notes, "a")[0].attributes == {"x": 1}
    with pytest.raises(stele.NotFound):
        client.update_attributes(notes, "absent", {"x": 1})


def test_preconditions(client, notes):
    version = client.write(stele.Insert(notes, "a", [1, 2, 3])).position.log_index
    with pytest.raises(stele.AlreadyExists) as caught:
        client.write([stele.Insert(notes, "a", [1, 2, 3])])
    assert caught.value.reason == "RECORD_EXISTS"
    for operation in (
        stele.Upsert(notes, "a", [0, 0, 0], must_not_exist=True),
        stele.Upsert(notes, "a", [0, 0, 0], expected_version=version + 1000),
        stele.Delete(notes, "a", expected_version=version + 1000),
        stele.UpdateAttributes(notes, "a", {"x": 1}, expected_version=version + 1000),
    ):
        with pytest.raises(stele.Aborted):
            client.write([stele.Upsert(notes, "b", [0, 0, 0]), operation])
    # All or nothing.
    assert client.get(notes, ["a", "b"]).missing_ids == ["b"]
    assert client.get(notes, "a")[0].version == version
    with pytest.raises(stele.Aborted):
        client.write([stele.Delete(notes, "a")], expected_state_index=version + 1000)
    with pytest.raises(stele.InvalidArgument, match="contradict"):
        client.write(stele.Upsert(notes, "a", [0, 0, 0], None, None, 5, True))


def test_a_request_id_takes_effect_once(client, notes):
    operations = [stele.Upsert(notes, "a", [1, 2, 3])]
    request_id = notes[-32:]
    assert client.get_outcome(request_id).state is stele.OutcomeState.NOT_SEEN
    first = client.write(operations, request_id=request_id)
    again = client.write(operations, request_id=request_id)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.position == again.position and again.inserted_count == 1
    assert first.request_id == request_id
    outcome = client.get_outcome(request_id)
    assert outcome.state is stele.OutcomeState.EXECUTED
    assert outcome.result.position == first.position
    with pytest.raises(stele.Error) as caught:
        client.write([stele.Delete(notes, "a")], request_id=request_id)
    assert caught.value.reason == "REQUEST_ID_REUSED" and caught.value.request_id == request_id
    rejected = request_id[::-1]
    with pytest.raises(stele.AlreadyExists):
        client.write([stele.Insert(notes, "a", [1, 2, 3])], request_id=rejected)
    outcome = client.get_outcome(rejected)
    assert outcome.state is stele.OutcomeState.REJECTED and outcome.result is None
    assert isinstance(outcome.error, stele.AlreadyExists)


def test_refusals_name_the_field(client, notes):
    good = stele.Upsert(notes, "a", [1, 2, 3])
    for bad in ([1, 2], [1, math.nan, 3], [1, 2, 20000.0], stele.Q16([1, 2, 2**31 - 1])):
        with pytest.raises(stele.InvalidArgument) as caught:
            client.write([good, stele.Upsert(notes, "b", bad)])
        assert caught.value.field.startswith("operations[1]"), caught.value
        assert "operations[1]" in str(caught.value)
        assert isinstance(caught.value, ValueError)
        with pytest.raises(stele.InvalidArgument):
            client.search(notes, bad)
    with pytest.raises(stele.InvalidArgument):
        client.write([good, good])
    assert client.count(notes) == 0


def test_bulk(client, notes):
    n = 1000
    ids = [f"{i:04}" for i in range(n)]
    vectors = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    result = client.upsert(
        notes,
        ids,
        vectors,
        attributes=[{"i": i} if i % 2 else None for i in range(n)],
        documents=[str(i) if i % 3 else None for i in range(n)],
        batch=stele.BatchOptions(rows_max=64),
    )
    assert result.inserted_count == n and len(result.results) == 16
    indices = [r.position.log_index for r in result.results]
    assert indices == sorted(set(indices)) and result.position.log_index == indices[-1]
    assert client.count(notes) == n
    records = list(client.list(notes, with_document=True, page_size=300))
    assert [r.id for r in records] == ids
    for i in (0, 1, 511, 998, 999):
        assert records[i].vector_float.tolist() == vectors[i].tolist()
        assert records[i].attributes == ({"i": i} if i % 2 else {})
        assert records[i].document == (str(i).encode() if i % 3 else b"")
    assert client.upsert(notes, ids[:10], vectors[:10]).updated_count == 10
    deleted = client.delete(notes, ids[:900] + ["absent"], batch=stele.BatchOptions(rows_max=100))
    assert (deleted.deleted_count, deleted.missing_count) == (900, 1)
    assert client.count(notes) == 100
    assert client.delete(notes, "0999").deleted_count == 1
    assert client.upsert(notes, [], np.empty((0, 3))).results == ()
    assert client.upsert(notes, [], []).position is None


def test_bulk_from_generators(client, notes):
    result = client.upsert(notes, (f"{i:03}" for i in range(300)), ([i, 0, 0] for i in range(300)))
    assert result.inserted_count == 300
    assert client.get(notes, "299")[0].vector_float.tolist() == [299, 0, 0]


def test_an_id_that_occurs_twice_is_written_twice_in_order(client, notes):
    result = client.upsert(notes, ["a", "b", "a"], [[1, 0, 0], [2, 0, 0], [3, 0, 0]])
    assert (result.inserted_count, result.updated_count) == (2, 1)
    assert client.get(notes, "a")[0].vector_float.tolist() == [3, 0, 0]


def test_bulk_stops_at_the_first_error_and_says_where(client, notes):
    vectors = np.zeros((100, 3), dtype=np.float32)
    vectors[57, 1] = np.nan
    ids = [f"{i:03}" for i in range(100)]
    with pytest.raises(stele.InvalidArgument) as caught:
        client.upsert(notes, ids, vectors, batch=stele.BatchOptions(rows_max=10))
    error = caught.value
    assert error.row == 57 and error.rows == range(50, 60) and "row 57" in str(error)
    assert sum(r.inserted_count for r in error.results) == 50 == client.count(notes)


def test_bulk_insert_is_rejected_where_an_id_exists(client, notes):
    client.upsert(notes, ["05"], [[9, 9, 9]])
    ids = [f"{i:02}" for i in range(10)]
    with pytest.raises(stele.AlreadyExists) as caught:
        client.insert(notes, ids, np.ones((10, 3)), batch=stele.BatchOptions(rows_max=2))
    assert caught.value.rows == range(4, 6)
    assert client.get(notes, "05")[0].vector_float.tolist() == [9, 9, 9]
    assert client.get(notes, ["00", "03", "04"]).missing_ids == ["04"]


def test_bulk_error_in_the_callers_data_keeps_what_was_sent(client, notes):
    def vectors():
        for i in range(30):
            yield [i, 0, 0] if i != 25 else ["x"]

    with pytest.raises(stele.InvalidArgument, match=r"vectors\[25\]") as caught:
        client.upsert(notes, map(str, range(30)), vectors(), batch=stele.BatchOptions(rows_max=10))
    assert len(caught.value.results) == 2 and client.count(notes) == 20


def test_lengths_must_agree(client, notes):
    for ids, vectors, attributes in (
        (["a"], np.ones((2, 3)), None),
        (["a", "b"], np.ones((1, 3)), None),
        (["a", "b"], np.ones((2, 3)), [{}]),
        (iter(["a", "b"]), iter(np.ones((1, 3))), None),
        (iter(["a"]), iter(np.ones((2, 3))), None),
        (iter(["a"]), np.ones((1, 3)), iter([{}, {}])),
    ):
        with pytest.raises(stele.InvalidArgument, match="one item per record"):
            client.upsert(notes, ids, vectors, attributes)
    with pytest.raises(stele.InvalidArgument):
        client.upsert(notes, "a", [[1, 2, 3]])
    with pytest.raises(stele.InvalidArgument):
        client.upsert(notes, [1], [[1, 2, 3]])
    with pytest.raises(stele.InvalidArgument):
        client.upsert(notes, ["a", "b", "c"], [1.0, 2.0, 3.0])


def test_write_stream_goes_on_after_a_logged_rejection(client, notes):
    insert = stele.Insert(notes, "a", [1, 2, 3])
    acks = list(client.write_stream([[insert], [insert], [stele.Delete(notes, "a")], [insert]]))
    assert [ack.error is None for ack in acks] == [True, False, True, True]
    assert acks[1].error.reason == "RECORD_EXISTS" and acks[2].unwrap().deleted_count == 1
    assert len({ack.request_id for ack in acks}) == 4
    with pytest.raises(stele.AlreadyExists):
        acks[1].unwrap()


def test_write_stream_ends_with_an_unlogged_failure(client, notes):
    good, bad = stele.Upsert(notes, "a", [1, 2, 3]), stele.Upsert(notes, "b", [1, 2])
    acks = []
    with pytest.raises(stele.InvalidArgument):
        for ack in client.write_stream([[good], [bad], [stele.Upsert(notes, "c", [1, 2, 3])]]):
            acks.append(ack)
    assert [ack.error is None for ack in acks] == [True, False]
    assert client.get(notes, ["a", "b", "c"]).missing_ids == ["b", "c"]


def test_write_stream_answers_while_the_source_is_slow(client, notes):
    def step(i):
        # With a window of 8, an answer to the first must not wait for the eighth.
        assert len(acks) >= i - 1
        return [stele.Upsert(notes, str(i), [i, 0, 0])]

    def source():
        for i in range(4):
            time.sleep(0.3)
            yield step(i)

    async def async_source():
        for i in range(4):
            await asyncio.sleep(0.3)
            yield step(i)

    acks = []
    blocking = isinstance(client, stele.Client)
    for ack in client.write_stream(source() if blocking else async_source()):
        acks.append(ack)
    assert len(acks) == 4


def test_get_many_ids(client, notes):
    ids = [f"{i:04}" for i in range(2500)]
    client.upsert(notes, ids, np.zeros((2500, 3), dtype=np.float32))
    found = client.get(notes, ids[::-1] + ["x"], with_vector=False)
    assert [r.id for r in found] == ids[::-1] and found.missing_ids == ["x"]


def test_reads_of_the_past(client, notes):
    first = client.upsert(notes, ["a"], [[1, 0, 0]], [{"v": 1}]).position.log_index
    client.upsert(notes, ["a", "b"], [[2, 0, 0], [3, 0, 0]])
    assert client.count(notes, at_index=first) == 1 and client.count(notes) == 2
    assert client.search(notes, [2, 0, 0], at_index=first)[0].distance_raw == 1 << 32
    assert client.get(notes, ["a", "b"], at_index=first)[0].attributes == {"v": 1}
    assert [r.version for r in client.list(notes, at_index=first)] == [first]
    result = client.batch_search(notes, [[2, 0, 0]], at_index=first)
    assert result.position.log_index == first
    with pytest.raises(stele.Error):
        client.count(notes, at_index=client.last_index + 10**6, timeout=1.0)


def test_pages_show_one_state(client, notes):
    client.upsert(notes, [f"{i}" for i in range(5)], np.zeros((5, 3)))
    listing = iter(client.list(notes, page_size=2))
    seen = [next(listing).id]
    client.delete(notes, ["3", "4"])
    seen += [record.id for record in listing]
    assert seen == ["0", "1", "2", "3", "4"] and client.count(notes) == 3


def test_delete_by_filter(client, notes):
    client.upsert(notes, [f"{i:02}" for i in range(20)], np.zeros((20, 3)),
                  [{"i": i} for i in range(20)])  # fmt: skip
    first = client.delete_by_filter(notes, stele.field("i") >= 5, limit=4)
    assert (first.deleted_count, first.more) == (4, True)
    assert client.get(notes, ["05", "08", "09"]).missing_ids == ["05", "08"]
    rest = client.delete_by_filter(notes, stele.field("i") >= 5, limit=4, until_done=True)
    assert rest.deleted_count == 11 and not rest.more and len(rest.results) == 3
    assert client.count(notes) == 5
    named = client.delete_by_filter(
        notes, stele.field("i") >= 0, limit=2, until_done=True, request_id=notes[-32:]
    )
    assert named.deleted_count == 5 and named.results[0].request_id == notes[-32:]
    assert client.count(notes) == 0 and not any(r.duplicate for r in named.results)
    with pytest.raises(stele.InvalidArgument, match="all_of"):
        client.delete_by_filter(notes, None)


def test_position_and_last_index(client, notes):
    result = client.upsert(notes, ["a"], [[1, 0, 0]])
    assert client.last_index >= result.position.log_index
    assert result.position.state_index == result.position.log_index
    assert len(result.position.state_root) == 32
    assert result.position.state_root.hex() in repr(result.position)


def test_waiting_for_an_index_that_does_not_come_runs_out_of_time(client, notes):
    with pytest.raises(stele.DeadlineExceeded) as caught:
        client.count(notes, min_index=client.last_index + 10**6, timeout=0.3)
    assert isinstance(caught.value, TimeoutError)


def test_server_info_and_snapshots(client, notes):
    info = client.server_info()
    assert len(info.log_id) == 16 and len(info.log_root) == 32 and info.version
    assert info.limits.max_message_bytes >= 4 << 20 and info.limits.max_operations >= 1
    made = client.create_snapshot()
    assert len(made.snapshot_hash) == len(made.state_root) == 32 and made.size_bytes > 0
    assert made.snapshot_hash in [snapshot.snapshot_hash for snapshot in client.list_snapshots()]
