"""If these fail, a record's past is told wrongly, or cannot be had back, with the real server and clients."""

import asyncio
import datetime
import json
import os
import subprocess

import pytest
import stele


def cli(*arguments, address, code=0):
    done = subprocess.run(
        [os.environ["STELE_CLI"], *arguments, "--address", address, "--timeout", "20"],
        capture_output=True, timeout=120)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode() if code == 0 else done.stderr.decode()


def tell(client, id="a", **options):
    return [(change.log_index, change.kind.name) for change in client.history("c", id, **options)]


def write_some(client):
    client.create_collection("c", dimension=2, metric="l2")
    client.upsert("c", ["a"], [[1.0, 2.0]], attributes=[{"n": 1}], documents=["one"])
    client.update_attributes("c", "a", {"m": 2}, ["n"])
    client.upsert("c", ["a"], [[3.0, 4.0]], attributes=[{"n": 3}])
    client.delete("c", ["a"])
    client.upsert("c", ["a", "b"], [[5.0, 6.0], [0.0, 0.0]], attributes=[{"n": 5}, {"n": 6}])
    client.delete_by_filter("c", stele.field("n") == 5)


EXPECTED = [(7, "DELETED_BY_FILTER"), (6, "CREATED"), (5, "DELETED"), (4, "REPLACED"),
            (3, "ATTRIBUTES_UPDATED"), (2, "CREATED")]


def test_history_survives_a_crash_and_tells_who_when_and_what(server):
    with server.client() as client:
        write_some(client)
        assert tell(client) == EXPECTED
    server.kill()
    server.start()
    with server.client() as client:
        assert tell(client) == EXPECTED
        assert tell(client, page_size=2) == EXPECTED
        assert tell(client, to_index=4) == EXPECTED[3:]
        changes = list(client.history("c", "a", with_vector=True, with_attributes=True,
                                      with_document=True))
        updated = changes[4]
        assert updated.record.attributes == {"m": 2} and updated.record.document == b"one"
        assert list(updated.record.vector_float) == [1.0, 2.0] and updated.record.version == 3
        assert updated.content_state is stele.ContentState.GIVEN
        assert changes[0].record is None and changes[0].commitment == b""
        assert len({change.commitment for change in changes if change.commitment}) == 4
        times = [change.time for change in changes]
        assert times == sorted(times, reverse=True)
        assert abs(times[0] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() < 600
        assert client.get_outcome(changes[1].request_id).result.position.log_index == 6
        client.drop_collection("c")
        assert tell(client, "b") == [(8, "COLLECTION_DROPPED"), (6, "CREATED")]
        assert tell(client, "none") == []
        with pytest.raises(stele.OutOfRange):
            tell(client, to_index=99)
    server.stop()
    server.verify()


def test_revert(server):
    with server.client() as client:
        write_some(client)
        result = client.revert("c", "a", 3, request_id="back")
        assert result.inserted_count == 1 and not result.duplicate
        again = client.revert("c", "a", 3, request_id="back")
        assert again.duplicate and again.position == result.position
        record = client.get("c", "a")[0]
        assert record.attributes == {"m": 2} and record.document == b"one"
        assert list(record.vector_float) == [1.0, 2.0]
        assert client.revert("c", "a", 5).deleted_count == 1
        with pytest.raises(stele.InvalidArgument):
            client.revert("c", "a", 2, request_id="back")
        assert tell(client)[:2] == [(9, "DELETED"), (8, "CREATED")]
    server.stop()
    server.verify()


def test_at_time(server):
    with server.client() as client:
        write_some(client)
        changes = {change.log_index: change for change in client.history("c", "a")}
        at = changes[4].time
        assert client.get("c", "a", at_time=at)[0].attributes == {"n": 3}
        assert client.count("c", at_time=at) == 1
        assert [record.id for record in client.list("c", at_time=at)] == ["a"]
        found = client.search("c", [3, 4], k=1, at_time=at)
        assert found[0].distance_raw == 0 and found.position.log_index == 4
        assert client.batch_search("c", [[3, 4]], k=1, at_time=at)[0][0].distance_raw == 0
        with pytest.raises(stele.OutOfRange):
            client.count("c", at_time=datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc))
        for wrong in (datetime.datetime(2026, 1, 1), 5, "2026-01-01T00:00:00Z"):
            with pytest.raises(stele.InvalidArgument):
                client.count("c", at_time=wrong)
        with pytest.raises(stele.InvalidArgument):
            client.count("c", at_time=at, at_index=4)
        future = datetime.datetime(3000, 1, 1, tzinfo=datetime.timezone.utc)
        assert client.count("c", at_time=future) == client.count("c")
        text = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert cli("count", "c", "--at-time", text, address=server.address) == "1\n"
    cli("count", "c", "--at-time", "yesterday", address=server.address, code=2)
    cli("count", "c", "--at-time", text[:-1], address=server.address, code=2)
    cli("count", "c", "--at-time", text, "--at-index", "4", address=server.address, code=2)
    cli("count", "c", "--at-time", "2001-01-01T00:00:00Z", address=server.address, code=1)


def test_the_same_from_the_command_line_and_asyncio(server):
    with server.client() as client:
        write_some(client)
    out = json.loads(cli("history", "c", "a", "--json", "--with-attributes",
                         address=server.address))
    assert [(c["log_index"], c["kind"].replace(" ", "_").upper()) for c in out["changes"]] == EXPECTED
    assert out["changes"][4]["record"]["attributes"] == {"m": 2} and not out["more"]
    text = cli("history", "c", "a", "--limit", "2", address=server.address)
    assert "deleted by filter" in text and "raise --limit" in text
    assert "nothing" in cli("history", "c", "none", address=server.address)
    assert "written again" in cli("revert", "c", "a", "4", address=server.address)
    cli("revert", "c", "a", "400", address=server.address, code=1)

    async def run():
        async with stele.AsyncClient(server.address) as client:
            changes = [c async for c in client.history("c", "a", with_vector=True, page_size=3)]
            assert [(c.log_index, c.kind.name) for c in changes] == [(8, "CREATED")] + EXPECTED
            assert list(changes[0].record.vector_float) == [3.0, 4.0]
            assert await client.count("c", at_time=changes[-1].time) == 1
            assert (await client.revert("c", "a", 2)).updated_count == 1

    asyncio.run(run())
