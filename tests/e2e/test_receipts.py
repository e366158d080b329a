"""If these fail, a search receipt of the real server does not say what was asked and answered, or one that was
changed passes, with the command line or with the independent verifier."""

import asyncio
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

import pytest
import stele
from test_verifier import Options, PROGRAM, ROOT, export, fill, key_of, refuses, verify

CLI = os.environ["STELE_CLI"]


def cli(*arguments):
    done = subprocess.run([CLI, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def python(*arguments):
    done = subprocess.run([sys.executable, "-I", "-S", str(PROGRAM), *map(str, arguments)], capture_output=True,
                          text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def searches(client, seed=3, count=24):
    """Receipts of searches of every metric, with and without filter and threshold, now and in the past."""
    generator = random.Random(seed)
    field = stele.field
    filters = [None, field("n") >= 2, field("tag") == "red", ~(field("on").exists()), field("tags").contains("b")]
    receipts = []
    for number in range(count):
        collection = ("l2", "dot", "cosine")[number % 3]
        vector = [generator.uniform(-3, 3) for _ in range(4)]
        at = generator.randrange(10, client.last_index + 1) if number % 2 else None
        result = client.search(collection, vector, generator.choice([1, 3, 50]), filters[number % len(filters)],
                               distance_raw_max=generator.choice([None, 1 << 35, -(1 << 33)]), at_index=at,
                               receipt=True)
        assert result.receipt.startswith("stele/search-receipt@v1\n")
        assert f"\nindex {result.position.log_index}\n" in result.receipt
        receipts.append((result, result.receipt.encode()))
    assert any(result.hits for result, _ in receipts) and any(not result.hits for result, _ in receipts)
    return receipts


def test_the_example_of_the_format():
    document = (ROOT / "docs/format.md").read_text(encoding="utf-8")
    data = re.search(r"```text receipt\n(.*?)```", document, re.S).group(1).encode()
    key = verify.VerifierKey(re.search(r"`(stele/a0a1a2[^`]*\+[^`]*)`", document).group(1).encode())
    example = re.search(r"```hex snapshot\n(.*?)```", document, re.S).group(1)
    snapshot = bytes.fromhex("".join(line.split(";")[0] for line in example.split("\n")))
    receipt = verify.verify_receipt(data, key, snapshot=snapshot)
    assert receipt["hits"][0][0] == b"a"
    for i in range(len(data)):
        changed = data[:i] + bytes([data[i] ^ 1]) + data[i + 1:]
        refuses(lambda: verify.verify_receipt(changed, key), i)


def test_receipts_are_searched_again(server, tmp_path):
    with server.client() as client:
        fill(client, seed=5, entries=150)
        key = key_of(client)
        receipts = searches(client)
        client.audit.checkpoint()
        receipts += searches(client, seed=4)
        batch = client.batch_search("dot", [[1, 2, 3, 4], [0, 0, 1, 0]], 3, receipt=True)
        receipts += [(result, result.receipt.encode()) for result in batch]
        assert client.search("l2", [1, 2, 3, 4]).receipt is None
        client.create_snapshot()
        newest = client.search("cosine", [1, 2, 3, 4], receipt=True).receipt.encode()

    async def ask():
        async with stele.AsyncClient(server.address) as client:
            one = await client.search("cosine", [1, 2, 3, 4], receipt=True)
            many = await client.batch_search("cosine", [[1, 2, 3, 4]], receipt=True)
            assert one.receipt.encode() == newest and many[0].receipt.encode() == newest

    asyncio.run(ask())
    log = tmp_path / "log"
    export(server, log)
    snapshots = pathlib.Path(server.data) / "snapshots"
    snapshot = max(snapshots.iterdir())
    file = tmp_path / "receipt"
    for number, (result, data) in enumerate(receipts):
        parsed = verify.verify_receipt(data, key, log=str(log))
        assert [(hit[0].decode(), hit[1]) for hit in parsed["hits"]] == [(hit.id, hit.distance_raw) for hit in result]
        file.write_bytes(data)
        code, out, err = cli("audit", "verify", "receipt", file, "--key", key.text.decode(), "--log", log)
        assert code == 0 and out.startswith("VERIFIED"), err
        if number % 8 == 0:
            code, out, err = python(file, "--key", key.text.decode(), "--log", log)
            assert code == 0 and out.startswith("VERIFIED"), err
            code, out, err = cli("audit", "verify", file, "--key", key.text.decode(), "--json")
            assert code == 0 and json.loads(out)["searched_again"] is False, err
            assert "VERIFIED" not in cli("audit", "verify", file, "--key", key.text.decode())[1]
            code, out, err = python(file, "--key", key.text.decode())
            assert code == 0 and "VERIFIED" not in out and "no nearer record" in out, err
    file.write_bytes(newest)
    for run in (lambda: cli("audit", "verify", file, "--key", key.text.decode(), "--snapshot", snapshot),
                lambda: python(file, "--key", key.text.decode(), "--snapshot", snapshot)):
        code, out, err = run()
        assert code == 0 and out.startswith("VERIFIED"), err
    # Of an older state: refused with the place.
    file.write_bytes(receipts[1][1])
    code, _, err = cli("audit", "verify", file, "--key", key.text.decode(), "--snapshot", snapshot)
    assert code == 6 and "the receipt, line" in err, err
    assert server.stop() == 0
    for _, data in (receipts[0], receipts[1], receipts[-1]):
        file.write_bytes(data)
        code, out, err = cli("audit", "verify", file, "--key", key.text.decode(), "--data-dir", server.data)
        assert code == 0 and out.startswith("VERIFIED"), err


def test_every_byte_of_a_receipt_counts(server, tmp_path):
    with server.client() as client:
        fill(client)
        key = key_of(client)
        client.audit.checkpoint()
        data = client.search("l2", [1, -2, 0.5, 1], 3, stele.field("n").exists(), receipt=True).receipt.encode()
    assert verify.verify_receipt(data, key)
    for i in range(len(data)):
        for bit in (1, 32) if i % 3 == 0 else (4,):
            changed = data[:i] + bytes([data[i] ^ bit]) + data[i + 1:]
            refuses(lambda: verify.verify_receipt(changed, key), (i, bit))
    for i in range(0, len(data), 5):
        refuses(lambda: verify.verify_receipt(data[:i], key), ("size", i))
    refuses(lambda: verify.verify_receipt(data + data, key), "twice")
    file = tmp_path / "receipt"
    for i in range(0, len(data), 23):
        file.write_bytes(data[:i] + bytes([data[i] ^ 2]) + data[i + 1:])
        code, _, err = cli("audit", "verify", file, "--key", key.text.decode())
        assert code == 6 and ("the receipt" in err or "the checkpoint" in err), (i, err)
    file.write_bytes(data)
    assert cli("audit", "verify", "record", file, "--key", key.text.decode())[0] == 6
    assert cli("audit", "verify", "nothing", file, "--key", key.text.decode())[0] == 2


def test_a_liar_with_the_key_is_found_out(server, tmp_path):
    """The holder of the key signs an answer that is not the one: only searching again shows it."""
    with server.client() as client:
        fill(client)
        key = key_of(client)
        data = client.search("l2", [1, -2, 0.5, 1], 3, receipt=True).receipt
        hits = client.search("l2", [1, -2, 0.5, 1], 4)
    log = tmp_path / "log"
    export(server, log)
    lines = data.split("\n\n")[0].split("\n")
    first = [i for i, line in enumerate(lines) if line.startswith("hit ")]
    assert len(first) == 3 and len(hits) == 4

    def signed(changed):
        text = tmp_path / "text"
        text.write_text("\n".join(changed) + "\n", encoding="utf-8")
        pem = pathlib.Path(server.data) / "checkpoint-key.pem"
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(pem), "-in", str(text)],
                                   check=True, capture_output=True).stdout
        key_id = verify.hashlib.sha256(key.name + b"\n\xff" + verify.RECEIPT + key.public).digest()[:4]
        note = text.read_bytes() + b"\n\xe2\x80\x94 " + key.name + b" "
        return note + verify.base64.b64encode(key_id + signature) + b"\n"

    file = tmp_path / "lie"
    left_out = lines[:first[0]] + lines[first[1]:]
    left_out[first[0] - 1] = "hits 2"
    nearer = list(lines)
    nearer[first[0]] = re.sub(r" (\d+) ", lambda m: f" {int(m.group(1)) - 1} ", lines[first[0]])
    other = list(lines)
    other[first[2]] = lines[first[2]][:-6] + "AAAA" + lines[first[2]][-2:]
    state = [line if not line.startswith("state-root") else "state-root " + "A" * 43 + "=" for line in lines]
    index = [line if not line.startswith("index ") else "index 9999" for line in lines]
    nowhere = [line if not line.startswith("collection") else "collection bm9uZQ==" for line in lines]
    assert verify.verify_receipt(signed(lines), key, log=str(log))
    for name, changed, place in (("left out", left_out, "hit 1"), ("nearer", nearer, "hit 1"),
                                 ("other content", other, "hit 3"), ("state", state, "line 5"),
                                 ("index", index, "line 3"), ("collection", nowhere, "line 8")):
        lie = signed(changed)
        assert verify.verify_receipt(lie, key), "well formed, and signed"
        with pytest.raises(verify.Refused, match=place):
            verify.verify_receipt(lie, key, log=str(log))
        file.write_bytes(lie)
        assert cli("audit", "verify", file, "--key", key.text.decode())[0] == 0
        code, _, err = cli("audit", "verify", file, "--key", key.text.decode(), "--log", log)
        assert code == 6 and place in err, (name, err)


def test_the_light_check_shows_what_proofs_show(server, tmp_path):
    with server.client() as client:
        fill(client)
        key = key_of(client)
        result = client.search("dot", [1, -2, 0.5, 1], 2, receipt=True)
        files = []
        for number, hit in enumerate(result):
            files.append(tmp_path / f"record {number}")
            files[-1].write_text(client.audit.prove_record("dot", hit.id).text, encoding="utf-8")
        files.append(tmp_path / "entry")
        files[-1].write_text(client.audit.prove_entry(result.position.log_index).text, encoding="utf-8")
        other = tmp_path / "other"
        absent = next(r.id for r in client.list("dot") if r.id not in result.ids)
        other.write_text(client.audit.prove_record("dot", absent).text, encoding="utf-8")
        client.delete("dot", result.ids[0])
        gone = tmp_path / "gone"
        gone.write_text(client.audit.prove_record("dot", result.ids[0]).text, encoding="utf-8")
        wrong = tmp_path / "wrong entry"
        wrong.write_text(client.audit.prove_entry(result.position.log_index - 1).text, encoding="utf-8")
    receipt = tmp_path / "receipt"
    receipt.write_text(result.receipt, encoding="utf-8")
    common = ["audit", "verify", "receipt", receipt, "--key", key.text.decode(), "--json"]
    proofs = [part for file in files for part in ("--proof", file)]
    code, out, err = cli(*common, *proofs)
    assert code == 0, err
    shown = json.loads(out)
    assert shown["records_checked"] == 2 and shown["records_proved"] == 2 and shown["entry_proved"]
    assert json.loads(cli(*common)[1])["records_checked"] == 0
    for file in (other, gone, wrong):
        code, _, err = cli(*common, "--proof", file)
        assert code == 6 and str(file) in err, err


def test_the_command_line_writes_receipts(server, tmp_path):
    with server.client() as client:
        client.create_collection("c", dimension=2, metric="l2")
        client.upsert("c", ["a", "b"], [[1, 0], [0, 1]])
        key = key_of(client)
    one = tmp_path / "one"
    code, _, err = cli("search", "c", "--vector", "[1, 0.5]", "--receipt", one, "--address", server.address)
    assert code == 0, err
    assert verify.verify_receipt(one.read_bytes(), key)["hits"][0][0] == b"a"
    queries = tmp_path / "queries.jsonl"
    queries.write_text("[1, 0]\n[0, 1]\n")
    code, _, err = cli("search", "c", "--file", queries, "--receipt", tmp_path / "many", "--address", server.address)
    assert code == 0, err
    assert verify.verify_receipt((tmp_path / "many.2").read_bytes(), key)["hits"][0][0] == b"b"


def test_a_receipt_of_a_restored_log(make_server, server, tmp_path):
    with server.client() as client:
        fill(client, entries=20)
        client.create_snapshot()
    snapshot = max((pathlib.Path(server.data) / "snapshots").iterdir())
    other = make_server()
    other.stop()
    shutil.rmtree(other.data)
    restored = subprocess.run([os.environ["STELE_SERVER"], "--restore", str(snapshot), "--data-dir", other.data],
                              capture_output=True, text=True, timeout=60)
    assert restored.returncode == 0, restored.stderr
    other.start()
    with other.client() as client:
        client.upsert("l2", ["new"], [[1, 2, 3, 4]])
        data = client.search("l2", [1, 2, 3, 4], receipt=True).receipt.encode()
        key = key_of(client)
    log = tmp_path / "log"
    export(other, log)
    assert verify.verify_receipt(data, key, log=str(log), base_snapshot=snapshot.read_bytes())["hits"][0][0] == b"new"
    file = tmp_path / "receipt"
    file.write_bytes(data)
    arguments = ["audit", "verify", file, "--key", key.text.decode(), "--log", log]
    code, out, err = cli(*arguments, "--base-snapshot", snapshot)
    assert code == 0 and out.startswith("VERIFIED"), err
    assert cli(*arguments)[0] == 2


def test_collections_that_always_give_receipts(server, tmp_path):
    with server.client() as client:
        for name, policy in (("off", "off"), ("signed", "signed"), ("logged", "logged")):
            client.create_collection(name, dimension=2, metric="l2", receipts=policy)
            client.upsert(name, ["a", "b"], [[1, 0], [0, 1]])
        key = key_of(client)
        state = client.server_info().position
        assert client.search("off", [1, 1]).receipt is None
        signed = client.search("signed", [1, 1]).receipt.encode()
        assert client.search("signed", [1, 1], receipt=True).receipt.encode() == signed
        assert client.batch_search("signed", [[1, 1]])[0].receipt.encode() == signed
        logged = [client.search("logged", [1, number]).receipt.encode() for number in range(20)]
        logged += [client.search("logged", [1, 1]).receipt.encode()] * 2
        end = time.monotonic() + 30
        while client.server_info().position.log_index == state.log_index:
            assert time.monotonic() < end
            time.sleep(0.05)
        # The rest at a clean stop.
    assert server.stop() == 0
    server.start()
    with server.client() as client:
        position = client.server_info().position
        assert position.state_root == state.state_root and position.state_index == state.state_index
        assert position.log_index - state.log_index < 15
    log = tmp_path / "log"
    export(server, log)
    file = tmp_path / "receipt"
    for data, where in [(part, True) for part in logged] + [(signed, False)]:
        assert ("logged_in" in verify.verify_receipt(data, key, log=str(log))) == where
    for data, where in ((logged[0], True), (logged[-1], True), (signed, False)):
        file.write_bytes(data)
        code, out, err = cli("audit", "verify", file, "--key", key.text.decode(), "--log", log, "--json")
        assert code == 0 and (json.loads(out)["logged_in"] is not None) == where, err
        code, out, err = python(file, "--key", key.text.decode(), "--log", log)
        assert code == 0 and ("; logged in entry" in out) == where and ("; not logged" in out) != where, err
    server.stop()
    assert "error" not in server.verify()


def test_after_erasure_a_receipt_is_no_plain_pass(server, tmp_path):
    with server.client() as client:
        client.create_collection("c", dimension=2, metric="l2", erasable=True)
        client.upsert("c", ["a", "b", "c", "d"], [[1, 0], [2, 0], [3, 0], [4, 0]])
        key = key_of(client)
        two = client.search("c", [0, 0], 2, receipt=True).receipt.encode()
        all_of_them = client.search("c", [0, 0], 9, receipt=True).receipt.encode()
        far = client.search("c", [9, 0], 1, receipt=True).receipt.encode()
        before = client.server_info().position.log_index
        erased = client.erase("c", ["b"])
        client.audit.erasure_certificate(erased.position.log_index, timeout=60)
        after = client.search("c", [0, 0], 2, receipt=True).receipt.encode()
        assert before < client.server_info().position.log_index
    log = tmp_path / "log"
    export(server, log)
    file = tmp_path / "receipt"
    for data, hits in ((two, 1), (all_of_them, 1), (far, 0)):
        assert verify.verify_receipt(data, key, log=str(log))["erased"] == (1, hits)
        file.write_bytes(data)
        code, out, err = cli("audit", "verify", file, "--key", key.text.decode(), "--log", log)
        assert code == 10 and out.startswith(f"PARTLY VERIFIED: 1 records of the collection have been erased, {hits} of")
        assert "1 records have been erased" in err
        code, out, err = python(file, "--key", key.text.decode(), "--log", log)
        assert code == 3 and out.startswith("PARTLY: 1 records"), err
    assert verify.verify_receipt(after, key, log=str(log))["erased"] == (0, 0)
    file.write_bytes(after)
    code, out, err = cli("audit", "verify", file, "--key", key.text.decode(), "--log", log)
    assert code == 0 and out.startswith("VERIFIED"), err
