"""If these fail, differences between states, answers or servers are told wrongly, with the real server and clients."""

import asyncio
import glob
import json
import os
import subprocess

import pytest
import stele
from stele import DiffKind, HitChange, HitReason


def cli(*arguments, address=None, code=0):
    command = [os.environ["STELE_CLI"], *arguments, "--timeout", "20"]
    if address is not None:
        command += ["--address", address]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode()


def fill(client, rows=50):
    client.create_collection("c", dimension=2, metric="l2")
    client.upsert("c", [f"r{i:03}" for i in range(rows)], [[float(i), 0.0] for i in range(rows)],
                  attributes=[{"n": i} for i in range(rows)])
    return client.last_index


def test_what_changed_between_two_states(server):
    with server.client() as client:
        begin = fill(client)
        client.upsert("c", ["new", "r001"], [[0.5, 0.0], [99.0, 0.0]])
        client.delete_by_filter("c", stele.field("n") == 2)
        client.upsert("c", ["r003"], [[3.0, 0.0]], attributes=[{"n": 3}])  # as it was
        client.create_collection("d", dimension=3, metric="dot")
        end = client.last_index
        diff = client.audit.diff_states(begin, end)
        assert [(c.name, c.kind, c.added_count, c.removed_count, c.changed_count)
                for c in diff.collections] == [("c", DiffKind.CHANGED, 1, 1, 1),
                                               ("d", DiffKind.ADDED, 0, 0, 0)]
        assert diff.entries_read == end - begin and not diff.records
        found, token = [], ""
        while True:
            page = client.audit.diff_states(begin, end, "c", page_size=2, page_token=token)
            found += [(r.id, r.kind) for r in page.records]
            token = page.next_page_token
            if not token:
                break
        assert found == [("new", DiffKind.ADDED), ("r001", DiffKind.CHANGED),
                         ("r002", DiffKind.REMOVED)]
        assert client.audit.diff_states(begin, begin).collections == ()
        with pytest.raises(stele.InvalidArgument):
            client.audit.diff_states(end, begin)
        with pytest.raises(stele.OutOfRange):
            client.audit.diff_states(begin, end + 1)
    out = json.loads(cli("diff", str(begin), str(end), "c", "--json", address=server.address))
    assert [(r["id"], r["kind"]) for r in out["records"]] == [
        ("new", "added"), ("r001", "changed"), ("r002", "removed")]
    assert "changed" in cli("diff", str(begin), str(end), address=server.address)
    assert "no difference" in cli("diff", "1", "1", address=server.address)
    cli("diff", "1", address=server.address, code=2)


def test_why_an_answer_changed(server):
    with server.client() as client:
        begin = fill(client)
        client.upsert("c", ["new"], [[0.5, 0.0]])
        client.delete("c", ["r001"])
        end = client.last_index
        diff = client.audit.diff_search("c", [0, 0], begin, end, k=2)
        assert [hit.id for hit in diff.before] == ["r000", "r001"]
        assert [hit.id for hit in diff.after] == ["r000", "new"]
        assert [(d.id, d.change, d.reason) for d in diff.differences] == [
            ("new", HitChange.ENTERED, HitReason.RECORD_ADDED),
            ("r001", HitChange.LEFT, HitReason.RECORD_REMOVED)]
        assert diff.differences[0].before_distance_raw is None
        same = client.audit.diff_search("c", [0, 0], begin, begin, k=2)
        assert same.differences == ()
    text = cli("diff", "search", "c", str(begin), str(end), "--vector", "[0, 0]", "-k", "2",
               address=server.address)
    assert "record added" in text and "record removed" in text
    cli("diff", "search", "c", str(begin), "--vector", "[0, 0]", address=server.address, code=2)


def test_what_would_have_been(server):
    with server.client() as client:
        fill(client, 10)
        client.upsert("c", ["poison"], [[0.0, 0.0]])
        poisoned = client.last_index
        client.upsert("c", ["later"], [[0.25, 0.0]])
        found = client.audit.search_without("c", [0, 0], 3, ids=["r000"])
        assert [hit.id for hit in found.counterfactual] == ["poison", "later", "r001"]
        found = client.audit.search_without("c", [0, 0], 3, entries=(poisoned, poisoned))
        assert [hit.id for hit in found.actual] == ["poison", "r000", "later"]
        assert [hit.id for hit in found.counterfactual] == ["r000", "later", "r001"]
        assert found.entries_left_out == 1 and found.outcomes_changed == 0
        assert len(found.state_root) == 32 and found.state_root != found.position.state_root
        assert found.differences[0].by_ids == ("poison",)
        whole = client.audit.search_without("c", [0, 0], 3, actor="somebody else")
        assert whole.state_root == whole.position.state_root and whole.differences == ()
        with pytest.raises(stele.OutOfRange):
            client.audit.search_without("c", [0, 0], entries=(1, 10**6))
        with pytest.raises(stele.InvalidArgument):
            client.audit.search_without("c", [0, 0], entries=(5, 4))
        with pytest.raises(stele.InvalidArgument):
            client.audit.search_without("c", [0, 0])

    async def run():
        async with stele.AsyncClient(server.address) as client:
            found = await client.audit.search_without("c", [0, 0], 1, ids="poison")
            assert [hit.id for hit in found.counterfactual] == ["r000"]
            assert (await client.audit.diff_states(1, 2)).collections[0].added_count == 10

    asyncio.run(run())
    text = cli("counterfactual", "c", "--vector", "[0, 0]", "-k", "3", "--without-entries",
               f"{poisoned}-{poisoned}", address=server.address)
    assert "left out 1 of" in text and "made room by poison" in text
    text = cli("counterfactual", "c", "--vector", "[0, 0]", "-k", "1", "--without-id", "poison",
               "--without-id", "r000", address=server.address)
    assert "later" in text and "left out" in text
    cli("counterfactual", "c", "--vector", "[0, 0]", address=server.address, code=2)
    cli("counterfactual", "c", "--vector", "[0, 0]", "--without-entries", "x",
        address=server.address, code=2)


def test_where_two_servers_and_a_snapshot_differ(make_server):
    a, b = make_server(), make_server()
    for server in (a, b):
        with server.client() as client:
            fill(client, 400)
    assert "the same" in cli("audit", "diverge", a.address, b.address)
    with b.client() as client:
        client.create_snapshot()
    snapshot = glob.glob(os.path.join(glob.escape(b.data), "snapshots", "*.stele"))[0]
    assert "the same" in cli("audit", "diverge", a.address, snapshot)
    with b.client() as client:
        client.update_attributes("c", "r123", {"n": -1})
    for side, other in ((a.address, b.address), (b.address, a.address), (snapshot, b.address)):
        out = json.loads(cli("audit", "diverge", side, other, "--json", code=6))
        assert out["collection"] == "c" and out["id"] == "r123"
        assert out["difference"] == "record has another content" and out["exchanges"] <= 10
    with a.client() as client:
        client.update_attributes("c", "r123", {"n": -1})
        client.upsert("c", ["only here"], [[1.0, 1.0]])
        nodes = client.audit.tree_nodes("c", levels=10, with_ids=True)
        leaves = [node for node in nodes.nodes if node.key]
        assert nodes.exists and leaves and all(node.name.startswith(("r", "only")) for node in leaves)
        assert not client.audit.tree_nodes("none").exists
        with pytest.raises(stele.InvalidArgument):
            client.audit.tree_nodes("c", b"\x00", 3, levels=11)
        with pytest.raises(stele.InvalidArgument):
            client.audit.tree_nodes("c", b"", 3)
    out = json.loads(cli("audit", "diverge", a.address, b.address, "--json", code=6))
    assert (out["difference"], out["id"]) == ("record only in A", "only here")
    cli("audit", "diverge", a.address, "/no/such/file", code=4)
