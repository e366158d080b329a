"""If these fail, a lost connection loses or repeats writes, or a failure hangs or tells nothing."""

import subprocess
import time

import grpc
import numpy as np
import pytest
from fake_semantics import Rejected
from fake_server import FakeServer

import stele
from stele import _session

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def client(connect, fake):
    made = connect(fake.address, timeout=10.0)
    made.create_collection("c", 3, "l2")
    fake.calls.clear()
    return made


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made between attempts, in order."""
    made, pause = [], _session.Attempts.pause

    def recorded(self, failure, lost):
        made.append(pause(self, failure, lost))
        return made[-1]

    monkeypatch.setattr(_session.Attempts, "pause", recorded)
    return made


def ids_of(fake, method):
    return [call[1].request_id for call in fake.calls if call[0] == method]


@pytest.mark.parametrize("apply_first", [False, True])
def test_a_write_is_repeated_under_its_id_and_takes_effect_once(fake, client, apply_first):
    fake.faults.unary["Write"] = [(UNAVAILABLE, apply_first)] * 3
    result = client.write([stele.Insert("c", "a", [1, 2, 3])])
    ids = ids_of(fake, "Write")
    assert len(ids) == 4 and len(set(ids)) == 1 and ids[0] == result.request_id
    assert result.inserted_count == 1 and result.duplicate == apply_first
    # What the first attempt knew is repeated, too.
    known = {call[1].known_index for call in fake.calls if call[0] == "Write"}
    assert known == {1}
    client.write([stele.Delete("c", "a")])
    assert fake.calls[-1][1].known_index == result.position.log_index


def test_other_requests_are_repeated_under_their_ids(fake, client):
    fake.faults.unary["CreateCollection"] = [(UNAVAILABLE, True)] * 2
    fake.faults.unary["DropCollection"] = [(UNAVAILABLE, True)] * 2
    assert client.create_collection("d", 3, "l2").name == "d"
    assert client.drop_collection("d") == 0
    for method in ("CreateCollection", "DropCollection"):
        assert len(ids_of(fake, method)) == 3 and len(set(ids_of(fake, method))) == 1


def test_reads_are_repeated(fake, client):
    fake.faults.unary["CountRecords"] = [(UNAVAILABLE, False)] * 2
    assert client.count("c") == 0 and fake.count_calls("CountRecords") == 3


@pytest.mark.parametrize("code", ["INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED", "DATA_LOSS"])
def test_what_is_not_transient_is_not_repeated(fake, client, code):
    fake.faults.unary["Write"] = [(grpc.StatusCode[code], False)]
    with pytest.raises(stele.Error) as caught:
        client.write([stele.Insert("c", "a", [1, 2, 3])])
    assert caught.value.code == code and fake.count_calls("Write") == 1
    assert caught.value.request_id == ids_of(fake, "Write")[0]
    assert "Write" in str(caught.value) and fake.address in str(caught.value)


@pytest.mark.parametrize("reason", ["OVERLOADED", "WRITES_EXHAUSTED"])
def test_what_there_is_no_room_for_is_sent_again(fake, client, reason):
    fake.faults.unary["Write"] = [(Rejected(EXHAUSTED, reason, "later"), False)] * 2
    assert client.write([stele.Insert("c", "a", [1, 2, 3])]).inserted_count == 1
    assert len(ids_of(fake, "Write")) == 3 and len(set(ids_of(fake, "Write"))) == 1
    fake.faults.stream_refusals = [Rejected(EXHAUSTED, reason, "later")] * 2
    assert client.upsert("c", ["b"], [[1, 2, 3]]).inserted_count == 1
    assert fake.count_calls("WriteStream") == 3


def test_what_is_too_large_is_not_sent_again(fake, client):
    fake.faults.unary["ListRecords"] = [(Rejected(EXHAUSTED, "RESPONSE_TOO_LARGE", "no"), False)]
    with pytest.raises(stele.ResourceExhausted):
        list(client.list("c"))
    assert fake.count_calls("ListRecords") == 1


def test_no_room_for_long_is_reported_as_that(fake, client, pauses):
    fake.faults.unary["Write"] = [(Rejected(EXHAUSTED, "OVERLOADED", "later"), False)] * 1000
    with pytest.raises(stele.ResourceExhausted):
        client.write([stele.Insert("c", "a", [1, 2, 3])], timeout=0.5)
    assert fake.count_calls("Write") == len(pauses) + 1 and 0 < sum(pauses) < 0.5


def test_retries_end_with_the_timeout(fake, client, pauses):
    fake.faults.unary["CountRecords"] = [(UNAVAILABLE, False)] * 1000
    with pytest.raises(stele.Unavailable):
        client.count("c", timeout=1.0)
    # They double, up to what still fits.
    assert fake.count_calls("CountRecords") == len(pauses) + 1 and 0 < sum(pauses) < 1.0
    assert all(0.5 <= p / (0.05 * 2**i) <= 1 for i, p in enumerate(pauses))


def test_retries_can_be_switched_off(fake, connect):
    client = connect(fake.address, retry=stele.RetryPolicy(attempts_max=1))
    fake.faults.unary["GetServerInfo"] = [(UNAVAILABLE, False)]
    with pytest.raises(stele.Unavailable):
        client.server_info()
    assert fake.count_calls("GetServerInfo") == 1


def test_slow_attempts_are_repeated_where_a_limit_is_set(fake, connect):
    client = connect(fake.address, timeout=10.0, retry=stele.RetryPolicy(attempt_timeout=0.3))
    client.create_collection("c", 3, "l2")
    fake.faults.delays["Write"] = 1.0
    fake.calls.clear()
    with pytest.raises(stele.DeadlineExceeded) as caught:
        client.write([stele.Insert("c", "a", [1, 2, 3])], timeout=0.8)
    assert len(set(ids_of(fake, "Write"))) == 1 and fake.count_calls("Write") >= 2
    assert "get_outcome" in str(caught.value)
    fake.faults.delays.clear()
    time.sleep(1.2)
    outcome = client.get_outcome(caught.value.request_id)
    assert outcome.state is stele.OutcomeState.EXECUTED and client.count("c") == 1


def test_an_unreachable_server_is_reported_soon(connect, pauses):
    client = connect("127.0.0.1:1", timeout=30.0, connect_timeout=0.5)
    with pytest.raises(stele.Unavailable) as caught:
        client.server_info()
    assert sum(pauses) < 0.5
    assert "127.0.0.1:1" in str(caught.value) and "running" in str(caught.value)


def test_a_restarted_server_is_found_again(connect):
    first = FakeServer()
    client = connect(first.address, timeout=10.0)
    client.create_collection("c", 3, "l2")
    first.stop()
    second = FakeServer(address=first.address)
    assert client.create_collection("c", 3, "l2").created_index == 1
    second.stop()


# ---- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [UNAVAILABLE, None], ids=["unavailable", "closed"])
@pytest.mark.parametrize("apply_one_more", [False, True])
def test_a_broken_stream_resumes_with_the_same_ids(fake, client, code, apply_one_more):
    fake.faults.streams = [(3, apply_one_more, code), (0, False, code), (5, apply_one_more, code)]
    ids = [f"{i:03}" for i in range(100)]
    result = client.insert("c", ids, np.ones((100, 3)), batch=stele.BatchOptions(rows_max=5))
    assert result.inserted_count == 100 and len(result.results) == 20
    assert fake.count_calls("WriteStream") == 4
    sent = ids_of(fake, "WriteStream.message")
    assert len(set(sent)) == 20 and len(sent) > 20
    assert [r.request_id for r in result.results] == list(dict.fromkeys(sent))
    assert any(r.duplicate for r in result.results) == apply_one_more
    assert [r.id for r in client.list("c")] == ids


def test_a_refusal_for_now_is_repeated(fake, client):
    fake.faults.stream_refusals = [Rejected(UNAVAILABLE, "SHUTTING_DOWN", "come back")] * 2
    assert client.upsert("c", ["a"], [[1, 2, 3]]).inserted_count == 1
    assert fake.count_calls("WriteStream") == 3


def test_a_stream_gives_up_in_time(fake, client, pauses):
    client.server_info()
    fake.faults.streams = [(1, False, UNAVAILABLE)] + [(0, False, UNAVAILABLE)] * 1000
    ids, vectors = [str(i) for i in range(10)], np.ones((10, 3))
    with pytest.raises(stele.Unavailable) as caught:
        client.upsert("c", ids, vectors, batch=stele.BatchOptions(rows_max=2), timeout=0.8)
    assert fake.count_calls("WriteStream") == len(pauses) + 1 and sum(pauses) < 0.8
    assert caught.value.rows == range(2, 4) and len(caught.value.results) == 1
    assert caught.value.request_id == ids_of(fake, "WriteStream.message")[1]


def test_a_refusal_for_now_that_stays_names_its_reason(fake, client):
    fake.faults.stream_refusals = [Rejected(UNAVAILABLE, "SHUTTING_DOWN", "come back")] * 1000
    with pytest.raises(stele.Unavailable) as caught:
        client.upsert("c", ["a"], [[1, 2, 3]], timeout=0.5)
    assert caught.value.reason == "SHUTTING_DOWN"


def test_a_silent_stream_runs_out_of_time(fake, client):
    client.server_info()
    fake.faults.delays["WriteStream"] = 2.0  # would be answered, if it waited
    with pytest.raises(stele.DeadlineExceeded) as caught:
        client.upsert("c", ["a"], [[1, 2, 3]], timeout=0.5)
    assert caught.value.request_id == ids_of(fake, "WriteStream.message")[0]


def test_a_long_stream_may_take_longer_than_the_timeout(fake, client):
    fake.faults.delays["WriteStream"] = 0.1
    result = client.upsert("c", [str(i) for i in range(15)], np.ones((15, 3)), timeout=0.5,
                           batch=stele.BatchOptions(rows_max=1))  # fmt: skip
    assert len(result.results) == 15


def test_the_window_bounds_what_is_on_its_way(fake, client):
    fake.faults.delays["WriteStream"] = 0.02
    taken, answered, widest = [0], [0], [0]

    def source():
        for i in range(30):
            taken[0] += 1
            widest[0] = max(widest[0], taken[0] - answered[0])
            yield [stele.Upsert("c", str(i), [1, 2, 3])]

    for _ in client.write_stream(source(), batch=stele.BatchOptions(window=4)):
        answered[0] += 1
    assert answered[0] == 30 and 2 <= widest[0] <= 5


def test_leaving_a_stream_early_frees_it(fake, client):
    def source():
        for i in range(1000):
            yield [stele.Upsert("c", str(i), [1, 2, 3])]

    stream = client.write_stream(source())
    next(stream)
    del stream
    assert client.count("c") < 1000


def test_a_failure_of_the_last_request_is_raised_as_well(client):
    acks = []
    with pytest.raises(stele.InvalidArgument):
        for ack in client.write_stream([[stele.Upsert("c", "a", [1])]]):
            acks.append(ack)
    assert len(acks) == 1 and acks[0].error is not None


@pytest.mark.parametrize("quiet", [False, True])
def test_nothing_is_written_after_a_failure_that_ended_the_stream(fake, client, quiet):
    fake.faults.quiet_ends = quiet
    good = [[stele.Upsert("c", str(i), [1, 2, 3])] for i in range(4)]
    with pytest.raises(stele.InvalidArgument):
        for ack in client.write_stream(good[:2] + [[stele.Upsert("c", "bad", [1])]] + good[2:]):
            assert ack.error is None or "[0].upsert" in ack.error.field
    assert client.count("c") == 2 and fake.count_calls("WriteStream") == 1


def test_answers_are_passed_on_before_the_source_is_asked_again(client):
    import asyncio

    def step(i):
        if i == 5:
            assert len(acks) >= 4
        return [stele.Upsert("c", str(i), [i, 0, 0])]

    def source():
        for i in range(6):
            # Meanwhile everything so far is answered.
            time.sleep(0.5 if i == 4 else 0.0)
            yield step(i)

    async def async_source():
        for i in range(6):
            await asyncio.sleep(0.5 if i == 4 else 0.0)
            yield step(i)

    acks = []
    blocking = isinstance(client, stele.Client)
    for ack in client.write_stream(source() if blocking else async_source()):
        acks.append(ack)
    assert len(acks) == 6


def test_the_callers_own_error_comes_through(client):
    def source():
        yield [stele.Upsert("c", "a", [1, 2, 3])]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(client.write_stream(source()))

    def ids():
        yield "b"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.upsert("c", ids(), iter([[1, 2, 3]] * 2), batch=stele.BatchOptions(rows_max=1))


# ---- sessions, limits, credentials ---------------------------------------------------------------


def test_reads_ask_for_what_this_client_wrote(fake, connect):
    eager, lazy = connect(fake.address), connect(fake.address, read_your_writes=False)
    for client in (eager, lazy):
        assert client.last_index == 0
    eager.create_collection("c", 3, "l2")
    index = eager.write([stele.Insert("c", "a", [1, 2, 3])]).position.log_index
    lazy.count("c")
    assert eager.last_index == lazy.last_index == index
    for client, expected in ((eager, index), (lazy, 0)):
        fake.calls.clear()
        client.count("c")
        client.get("c", "a")
        list(client.list("c"))
        client.search("c", [1, 2, 3])
        client.batch_search("c", [[1, 2, 3]])
        client.get_collection("c")
        client.list_collections()
        seen = [c[1].min_index for c in fake.calls if hasattr(c[1], "min_index")]
        assert seen == [expected] * 7
        fake.calls.clear()
        client.count("c", min_index=1)
        client.count("c", at_index=1)
        assert [(c[1].min_index, c[1].at_index) for c in fake.calls] == [(1, 0), (0, 1)]


def test_pages_keep_their_arguments(fake, connect):
    client, other = connect(fake.address), connect(fake.address)
    client.create_collection("c", 3, "l2")
    client.upsert("c", [str(i) for i in range(7)], np.ones((7, 3)))
    listing = iter(client.list("c", page_size=2))
    next(listing)
    # The client learns of a newer index between two pages.
    other.upsert("c", ["x"], [[1, 2, 3]])
    client.server_info()
    assert len(list(listing)) == 6


def test_many_queries_are_split_and_answered_on_one_state(connect):
    server = FakeServer(limits={})
    server.limits.max_batch_queries = 4
    client = connect(server.address)
    client.create_collection("c", 3, "l2")
    client.upsert("c", ["a", "b"], [[0, 0, 0], [1, 0, 0]])
    queries = np.arange(30, dtype=np.float32).reshape(10, 3)
    result = client.batch_search("c", queries, k=2)
    assert len(result) == 10 and result.distance_raw.shape == (10, 2)
    for row in range(10):
        single = client.search("c", queries[row], k=2)
        assert result.distance_raw[row].tolist() == [hit.distance_raw for hit in single]
    requests = [call[1] for call in server.calls if call[0] == "BatchSearch"]
    assert [len(r.queries) for r in requests] == [4, 4, 2]
    assert not requests[0].HasField("at_index")
    assert [r.at_index for r in requests[1:]] == [result.position.log_index] * 2
    server.stop()


def test_replies_that_would_be_too_large_are_asked_for_in_parts(fake, client):
    fake.limits.max_batch_queries = 5
    ids = [f"{i:02}" for i in range(20)]
    client.upsert("c", ids, np.arange(60).reshape(20, 3))
    queries = 2 * np.arange(27).reshape(9, 3) + np.arange(9)[:, np.newaxis]
    whole = client.batch_search("c", queries, k=2)
    fake.faults.reply_records_max = 3
    found = client.get("c", ids + ["x"])
    assert [record.id for record in found] == ids and found.missing_ids == ["x"]
    parts = client.batch_search("c", queries, k=2)
    assert parts.distance_raw.tolist() == whole.distance_raw.tolist() and len(parts) == 9
    assert len(set(map(str, whole.ids.tolist()))) > 5
    many = [f"{i:04}" for i in range(1500)]
    fake.faults.reply_records_max = 600
    assert client.get("c", many).missing_ids == many
    fake.faults.reply_records_max = 1
    with pytest.raises(stele.ResourceExhausted):
        client.batch_search("c", queries, k=2)


def test_batches_follow_the_servers_limits(connect):
    server = FakeServer()
    server.limits.max_operations = 3
    client = connect(server.address)
    client.create_collection("c", 3, "l2")
    assert len(client.upsert("c", list("abcdefg"), np.ones((7, 3))).results) == 3
    client.upsert("c", ["a"], [[1, 2, 3]])
    assert server.count_calls("GetServerInfo") == 1
    server.stop()


def test_without_permission_for_the_limits_defaults_serve(fake, client):
    fake.faults.unary["GetServerInfo"] = [(grpc.StatusCode.PERMISSION_DENIED, False)]
    assert client.upsert("c", ["a"], [[1, 2, 3]]).inserted_count == 1


def test_the_key_travels_and_never_shows(connect):
    server = FakeServer(api_key="right-key")
    client = connect(server.address, api_key="right-key")
    client.create_collection("c", 3, "l2")
    client.upsert("c", ["a"], [[1, 2, 3]])
    for key in (None, "wrong-key"):
        other = connect(server.address, api_key=key)
        for call in (other.server_info, lambda o=other: o.upsert("c", ["a"], [[1, 2, 3]]),
                     lambda o=other: list(o.write_stream([[stele.Delete("c", "a")]]))):  # fmt: skip
            with pytest.raises(stele.Unauthenticated) as caught:
                call()
            assert caught.value.reason == "API_KEY_INVALID" and "api_key" in str(caught.value)
            assert "wrong-key" not in str(caught.value) + repr(caught.value)
    server.stop()


def test_tls(connect, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=stele.test", "-addext",
         "subjectAltName=DNS:stele.test", "-keyout", str(key), "-out", str(certificate)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip("openssl cannot make a certificate here")
    pair = (key.read_bytes(), certificate.read_bytes())
    mutual = grpc.ssl_server_credentials([pair], pair[1], require_client_auth=True)
    server = FakeServer(credentials=mutual)
    good = stele.TlsConfig(str(certificate), str(certificate), str(key), "stele.test")
    assert connect(server.address, tls=good).server_info().version
    for bad in (None, True, stele.TlsConfig(str(certificate), server_name="stele.test")):
        with pytest.raises(stele.Unavailable):
            connect(server.address, tls=bad, connect_timeout=0.5).server_info()
    server.stop()


def test_a_closed_client_says_so(fake, connect):
    client = connect(fake.address)
    client.create_collection("c", 3, "l2")
    inner = getattr(client, "_client", client)
    client.close() if inner is client else client._loop.run_until_complete(inner.close())
    for call in (client.server_info, lambda: list(client.write_stream([[stele.Delete("c", "a")]]))):
        with pytest.raises(stele.Cancelled, match="closed"):
            call()


def test_many_threads_share_a_client(fake):
    import concurrent.futures

    with stele.Client(fake.address) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        client.create_collection("c", 3, "l2")
        futures = [
            pool.submit(client.upsert, "c", [f"{t}-{i}" for i in range(20)], np.ones((20, 3)),
                        batch=stele.BatchOptions(rows_max=5))
            for t in range(16)
        ]  # fmt: skip
        assert sum(future.result().inserted_count for future in futures) == 320
        assert client.count("c") == 320


def test_async_sources():
    import asyncio

    server = FakeServer()

    async def run():
        async with stele.AsyncClient(server.address) as client:
            await client.create_collection("c", 3, "l2")

            async def source():
                for i in range(20):
                    await asyncio.sleep(0)
                    yield [stele.Upsert("c", str(i), [i, 0, 0])]

            acks = [ack async for ack in client.write_stream(source())]
            counts = await asyncio.gather(*(client.count("c") for _ in range(10)))
            names = [record.id async for record in client.list("c")]
            return len(acks), counts, len(names)

    assert asyncio.run(run()) == (20, [20] * 10, 20)
    server.stop()


def test_explanations_of_older_and_newer_servers(fake, client, notes):
    client.upsert(notes, ["a"], [[0, 0, 0]])
    fake.faults.filter_strategy = 99
    explanation = client.search(notes, [0, 0, 0], explain=True).explanation
    assert explanation.filter_strategy is stele.FilterStrategy.UNSPECIFIED
    assert explanation.rows_computed == 1
    fake.faults.explains = False
    result = client.search(notes, [0, 0, 0], explain=True)
    assert result.ids == ["a"] and result.explanation is None
    assert client.batch_search(notes, [[0, 0, 0]], explain=True)[0].explanation is None
