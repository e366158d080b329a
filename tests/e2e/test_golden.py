"""If these fail, a user's retrieval test passes where an answer differs, or fails where none does."""

import json
import os
import pathlib
import re
import subprocess

import stele
from test_verifier import ROOT

CLI = os.environ["STELE_CLI"]


def cli(*arguments):
    done = subprocess.run([CLI, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def prepare(server, tmp_path):
    with server.client() as client:
        for name, metric in (("l2", "l2"), ("cosine", "cosine")):
            client.create_collection(name, dimension=2, metric=metric)
            client.upsert(name, ["a", "b", "c", "d"], [[1, 0], [0, 1], [1, 1], [-1, 0.25]],
                          [{"n": number} for number in range(4)])
        client.create_snapshot()
    queries = tmp_path / "queries.jsonl"
    queries.write_text("\n".join([
        '{"name": "first", "vector": [1, 0.1]}',
        '{"name": "few", "vector": [0.3, 0.7], "k": 2, "collection": "cosine"}',
        '{"name": "filtered", "vector_q16": [65536, 1], "filter": {"attribute": "n", "greater_or_equal": 2}}',
        '{"name": "near", "vector": [0.5, 0.5], "threshold": 0.75}',
        '[0.25, 0.25]',
    ]) + "\n", encoding="utf-8")
    return queries, max((pathlib.Path(server.data) / "snapshots").iterdir())


def test_the_server_and_its_snapshot_agree(server, tmp_path):
    queries, snapshot = prepare(server, tmp_path)
    offline, online = tmp_path / "offline.json", tmp_path / "online.json"
    common = ["golden", "record", "--queries", queries, "--collection", "l2", "-k", 3]
    code, _, err = cli(*common, "-o", offline, "--snapshot", snapshot)
    assert code == 0, err
    code, _, err = cli(*common, "-o", online, "--address", server.address)
    assert code == 0, err
    one, other = (json.loads(path.read_text(encoding="utf-8")) for path in (offline, online))
    assert one["queries"] == other["queries"] and one["state_root"] == other["state_root"]
    assert "snapshot_hash" in one and "snapshot_hash" not in other
    assert [q["name"] for q in one["queries"]] == ["first", "few", "filtered", "near", "line 5"]
    assert [hit["id"] for hit in one["queries"][0]["hits"]] == ["a", "c", "b"]
    assert [hit["id"] for hit in one["queries"][2]["hits"]] == ["c", "d"]
    with server.client() as client:
        for query in one["queries"]:
            found = client.search(query["collection"], stele.Q16(query["vector_q16"]), query["k"], query.get("filter"),
                                  distance_raw_max=query.get("distance_raw_max"))
            assert [{"id": hit.id, "distance_raw": hit.distance_raw} for hit in found] == query["hits"]
    for path in (offline, online):
        assert cli("golden", "check", path, "--snapshot", snapshot)[0] == 0
        assert cli("golden", "check", path, "--address", server.address)[0] == 0


def test_what_differs_is_shown(server, tmp_path):
    queries, snapshot = prepare(server, tmp_path)
    golden = tmp_path / "golden.json"
    code, _, err = cli("golden", "record", "--queries", queries, "--collection", "l2", "-k", 3, "-o", golden,
                       "--snapshot", snapshot)
    assert code == 0, err
    with server.client() as client:
        client.upsert("l2", ["aa"], [[1, 0.05]])
        client.delete("l2", "b")
    # The recorded state is still held, and asked for.
    assert cli("golden", "check", golden, "--address", server.address)[0] == 0
    code, out, err = cli("golden", "check", golden, "--address", server.address, "--any-state")
    assert code == 9 and "FAILED: first in l2: 3 of 3 expected ranks differ" in out, (out, err)
    assert re.search(r" 1 +a at \d+ +aa at \d+", out) and "missing: b" in out and "new: aa" in out
    assert "FAILED: few" not in out and "queries find exactly" in err
    with server.client() as client:
        newest = client.server_info().position.log_index
    code, out, _ = cli("golden", "check", golden, "--address", server.address, "--at-index", newest, "--json")
    report = json.loads(out)
    assert code == 9 and not report["passed"] and not report["state"]["same"]
    assert report["queries"][0]["missing"] == ["b"] and report["queries"][1]["passed"]
    with server.client() as client:
        client.drop_collection("cosine")
        client.create_snapshot()
    code, out, _ = cli("golden", "check", golden, "--address", server.address, "--any-state")
    assert code == 9 and "FAILED: few in cosine" in out and "cosine" in out
    later = max((pathlib.Path(server.data) / "snapshots").iterdir())
    code, out, _ = cli("golden", "check", golden, "--snapshot", later)
    assert code == 9 and "the memory is not the one that was recorded" in out


def test_every_number_of_the_file_counts(server, tmp_path):
    queries, snapshot = prepare(server, tmp_path)
    golden = tmp_path / "golden.json"
    cli("golden", "record", "--queries", queries, "--collection", "l2", "-k", 3, "-o", golden, "--snapshot", snapshot)
    text = golden.read_text(encoding="utf-8")
    changed = tmp_path / "changed.json"
    places = [m.start(1) for m in re.finditer(r'"distance_raw": -?\d*(\d)', text)]
    places += [m.start(1) for m in re.finditer(r'\{"id": "(\w)"', text)]
    places += [text.index('"state_root": "') + 20, text.index('"snapshot_hash": "') + 30]
    assert len(places) > 15
    for place in places:
        other = "0" if text[place] != "0" else "1"
        changed.write_text(text[:place] + other + text[place + 1:], encoding="utf-8")
        assert cli("golden", "check", changed, "--snapshot", snapshot)[0] == 9, text[place - 30:place + 5]
    for bad in ("", "{}", text[:-10], text.replace("golden@v1", "golden@v2"), text.replace('"k"', '"kk"')):
        changed.write_text(bad, encoding="utf-8")
        assert cli("golden", "check", changed, "--snapshot", snapshot)[0] == 2


def test_bad_queries_are_refused(server, tmp_path):
    queries, snapshot = prepare(server, tmp_path)
    out = tmp_path / "golden.json"
    for line, code in (('{"vector": [1, 2], "name": "x"}\n{"vector": [1, 2], "name": "x"}', 2),
                       ('{"vector": [1, 2], "colection": "l2"}', 1), ("[1, 2, 3]", 1), ("", 2), ('{"k": 3}', 1),
                       ('{"vector": [1, 2], "collection": "none"}', 4), ('{"vector": [1, 2], "k": 0}', 1)):
        queries.write_text(line + "\n", encoding="utf-8")
        for source in (["--snapshot", snapshot], ["--address", server.address]):
            got, _, err = cli("golden", "record", "--queries", queries, "--collection", "l2", "-o", out, *source)
            assert got == code, (line, source, err)
            assert not out.exists()
    queries.write_text("[1, 2]\n")
    assert cli("golden", "record", "--queries", queries, "-o", out, "--snapshot", snapshot)[0] == 2


def test_the_example_of_the_document(tmp_path):
    document = (ROOT / "docs/format.md").read_text(encoding="utf-8")
    block = re.search(r"```hex snapshot\n(.*?)```", document, re.S).group(1)
    snapshot = tmp_path / "memory.stele"
    snapshot.write_bytes(bytes.fromhex("".join(line.split(";")[0] for line in block.split("\n"))))
    page = (ROOT / "docs/golden.md").read_text(encoding="utf-8")
    golden = tmp_path / "golden.json"
    golden.write_text(re.search(r"```json\n(.*?)```", page, re.S).group(1), encoding="utf-8")
    code, out, err = cli("golden", "check", golden, "--snapshot", snapshot)
    assert code == 0, out + err
