"""If these fail, the independent verifier accepts what was changed, or refuses what the real server made.

The verifier is loaded as a module, so that thousands of changed copies can be tried."""

import base64
import hashlib
import importlib.util
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

import pytest
import stele

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "client/verifier/stele_verify.py"
spec = importlib.util.spec_from_file_location("stele_verify", PROGRAM)
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)


class Options:
    old = document = snapshot = None

    def __init__(self, **given):
        self.__dict__.update(given)


def fill(client, seed=1, entries=60):
    """Every kind of operation and most outcomes."""
    generator = random.Random(seed)
    for name, metric in (("l2", "l2"), ("dot", "dot"), ("cosine", "cosine")):
        client.create_collection(name, dimension=4, metric=metric, description=f"about {name} \u00e9",
                                 receipts="signed" if name == "dot" else "off")
    attributes = [None, {"n": 1}, {"n": 2.5, "tag": "red"}, {"on": True, "raw": b"\0x"},
                  {"tags": ["a", "b"], "empty": [], "at": stele.Timestamp(1234567)}]
    field = stele.field

    def attempt(action):
        try:
            action()
        except stele.Error:
            pass

    for number in range(entries):
        collection = generator.choice(["l2", "dot", "cosine"])
        ids = [f"r{generator.randrange(20)}" for _ in range(generator.randrange(1, 4))]
        vectors = [[generator.uniform(-3, 3) for _ in range(4)] for _ in ids]
        chosen = [generator.choice(attributes) for _ in ids]
        documents = [generator.choice([None, "text", "x" * 300]) for _ in ids]
        kind = generator.randrange(10)
        if kind < 4:
            attempt(lambda: client.upsert(collection, ids, vectors, chosen, documents))
        elif kind == 4:
            attempt(lambda: client.insert(collection, ids[:1], vectors[:1], chosen[:1]))
        elif kind == 5:
            attempt(lambda: client.update_attributes(collection, ids[0], {"n": number}, ["tag"]))
        elif kind == 6:
            attempt(lambda: client.delete(collection, ids))
        elif kind == 7:
            wanted = generator.choice([field("n") >= 2, field("tag") == "red", field("on").exists(),
                                       field("tags").contains("b"), field("n") < 2.25])
            attempt(lambda: client.delete_by_filter(collection, wanted, 2))
        elif kind == 8:
            attempt(lambda: client.write(
                [stele.Upsert(collection, ids[0], vectors[0], expected_version=number % 7)]))
        else:
            attempt(lambda: client.write([stele.Delete(collection, ids[0])],
                                         expected_state_index=client.last_index - number % 2))
    client.create_collection("gone", dimension=1, metric="l2")
    client.upsert("gone", ["a", "b"], [[1.0], [2.0]])
    client.drop_collection("gone")


def export(server, directory):
    subprocess.run([os.environ["STELE_CLI"], "log", "export", str(directory), "--address",
                    server.address], check=True, capture_output=True, timeout=120)


def key_of(client):
    return verify.VerifierKey(client.server_info().checkpoint_key.encode())


def refuses(run, what):
    try:
        run()
    except verify.Refused as refused:
        assert str(refused)
        return
    raise AssertionError(f"accepted: {what}")


def test_the_examples_of_the_format(tmp_path):
    text = (ROOT / "docs/format.md").read_text(encoding="utf-8")

    def example(name):
        block = re.search(rf"```hex {re.escape(name)}\n(.*?)```", text, re.S).group(1)
        return bytes.fromhex("".join(line.split(";")[0] for line in block.split("\n")))

    data = example("snapshot")
    machine, tree, snapshot_hash, _ = verify.load_snapshot(data)
    assert snapshot_hash == example("snapshot.hash")
    assert tree.root() == example("log.2.root")
    assert machine.state_root == example("log.2.state_root")
    assert verify.encode_commit(verify.decode_commit(example("log.2.commit"), "")) == \
        example("log.2.commit")
    for i in range(len(data)):
        changed = data[:i] + bytes([data[i] ^ 1]) + data[i + 1:]
        refuses(lambda: verify.load_snapshot(changed), f"byte {i}")
        refuses(lambda: verify.load_snapshot(data[:i]), f"size {i}")
        for bit in (2, 64):
            changed = data[:i] + bytes([data[i] ^ bit]) + data[i + 1:]
            refuses(lambda: verify.load_snapshot(changed), f"byte {i}")


def test_ed25519_is_that_of_the_rfc():
    # RFC 8032, section 7.1, tests 1 to 3.
    for public, message, signature in (
            ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
             "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
             "d25bf5f0595bbe24655141438e7a100b"),
            ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
             "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
             "387b2eaeb4302aeeb00d291612bb0c00"),
            ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
             "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
             "4a7c15e9716ed28dc027beceea1ec40a")):
        key, text, good = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
        assert verify.ed25519_verify(key, text, good)
        assert not verify.ed25519_verify(key, text + b"x", good)
        # The other S of the same residue, which RFC 8032 refuses.
        s = int.from_bytes(good[32:], "little") + verify.L
        assert not verify.ed25519_verify(key, text, good[:32] + s.to_bytes(32, "little"))
        for i in range(0, 64, 5):
            assert not verify.ed25519_verify(key, text, good[:i] + bytes([good[i] ^ 1]) + good[i + 1:])


def test_proofs_of_the_server_and_every_byte_of_them(server, tmp_path):
    with server.client() as client:
        fill(client)
        key = key_of(client)
        old = client.audit.checkpoint(13)
        old_file = tmp_path / "old"
        old_file.write_text(old.note, encoding="utf-8")
        there = next(iter(client.list("l2"))).id
        texts = {
            "checkpoint": client.audit.checkpoint().note,
            "entry": client.audit.prove_entry(9).text,
            "longer": client.audit.prove_consistency(13).text,
            "record": client.audit.prove_record("l2", there).text,
            "commitment": client.audit.prove_record("l2", there, commitment_only=True).text,
            "absent": client.audit.prove_record("l2", "nobody").text,
            "no collection": client.audit.prove_record("gone", "a").text,
        }
        assert client.audit.prove_record("l2", there).exists
        assert not client.audit.prove_record("gone", "a").exists
    options = Options(old=str(old_file))
    for name, text in texts.items():
        data = text.encode()
        assert verify.verify_text(data, key, options), name
        cli = tmp_path / "proof"
        cli.write_bytes(data)
        done = subprocess.run([os.environ["STELE_CLI"], "audit", "verify", str(cli), "--key",
                               key.text.decode(), *(["--old", str(old_file)] if name == "longer" else [])],
                              capture_output=True, text=True)
        assert done.returncode == 0 and "VERIFIED" in done.stdout, done.stderr
        for i in range(len(data)):
            for bit in (1, 32) if i % 3 == 0 else (4,):
                changed = data[:i] + bytes([data[i] ^ bit]) + data[i + 1:]
                refuses(lambda: verify.verify_text(changed, key, options), (name, i, bit))
        for i in range(0, len(data), 7):
            refuses(lambda: verify.verify_text(data[:i], key, options), (name, "size", i))
        if name in ("record", "commitment"):
            # A forger puts the sum of the lines right again.
            head, _, rest = data.partition(b"sha256 ")
            rest = rest.split(b"\n", 1)[1]
            for i in range(0, len(head), 3):
                changed = head[:i] + bytes([head[i] ^ 1]) + head[i + 1:]
                changed += b"sha256 " + base64.b64encode(hashlib.sha256(changed).digest()) + b"\n" + rest
                refuses(lambda: verify.verify_text(changed, key, options), (name, "sum", i))
        refuses(lambda: verify.verify_text(data + data, key, options), (name, "twice"))


def test_nothing_is_shown_that_the_paths_do_not_carry(server):
    """Lines moved from one proof into another, with the sum put right: a record in no collection, content
    without a record, something found where nothing is."""
    with server.client() as client:
        client.create_collection("c", dimension=1, metric="l2")
        client.upsert("c", ["a"], [[1.0]], [{"n": 1}])
        key = key_of(client)
        there = client.audit.prove_record("c", "a").text.encode().split(b"\n")
        absent = client.audit.prove_record("c", "b").text.encode().split(b"\n")
        nowhere = client.audit.prove_record("d", "a").text.encode().split(b"\n")

    def lines(proof, word):
        return [i for i, line in enumerate(proof) if line.startswith(word)]

    def summed(proof):
        head, rest = proof[:lines(proof, b"sha256")[0]], proof[lines(proof, b"sha256")[0] + 1:]
        data = b"\n".join(head) + b"\n"
        return data + b"sha256 " + base64.b64encode(hashlib.sha256(data).digest()) + b"\n" + b"\n".join(rest)

    assert verify.verify_text(summed(there), key, Options())
    record = there[lines(there, b"record ")[0]]
    content = there[lines(there, b"vector ")[0]:lines(there, b"document ")[0] + 1]
    for proof in (absent, nowhere):
        at = lines(proof, b"record ")[0]
        refuses(lambda: verify.verify_text(summed(proof[:at] + [record] + proof[at + 1:]), key, Options()),
                "a record")
        refuses(lambda: verify.verify_text(summed(proof[:at + 1] + content + proof[at + 1:]), key, Options()),
                "content")
        refuses(lambda: verify.verify_text(summed(proof[:at] + [record] + content + proof[at + 1:]), key,
                                           Options()), "both")
    at = lines(there, b"record ")[0]
    refuses(lambda: verify.verify_text(summed(there[:at] + [b"record none"] + there[at + 4:]), key, Options()),
            "no record")
    # The same proof under a checkpoint of another server's key.
    refuses(lambda: verify.verify_text(summed(there), verify.VerifierKey(
        b"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"), Options()), "key")


def test_documents_are_compared(server, tmp_path):
    with server.client() as client:
        client.create_collection("c", dimension=1, metric="l2")
        client.upsert("c", ["a"], [[1.0]], documents=["the text"])
        key = key_of(client)
        data = client.audit.prove_record("c", "a").text.encode()
    document = tmp_path / "document"
    document.write_text("the text")
    assert verify.verify_text(data, key, Options(document=str(document)))
    document.write_text("the test")
    refuses(lambda: verify.verify_text(data, key, Options(document=str(document))), "document")


def test_an_export_replays_and_every_change_shows(server, tmp_path):
    with server.client() as client:
        fill(client, seed=2, entries=330)
        key = key_of(client)
        state_root = client.server_info().position.state_root
        size = client.last_index + 1
    directory = tmp_path / "export"
    export(server, directory)
    base, exported, _, machine = verify.verify_export(str(directory), key, None)
    assert (base, exported, machine.state_root) == (0, size, state_root)
    outcomes = set()
    for index, record, *_ in verify.read_entries(str(directory), 0, size):
        outcomes.add(verify.decode_commit(record, "")["outcome"])
    assert {0, 3, 4, 5, 6} <= outcomes, outcomes
    done = subprocess.run([sys.executable, "-I", "-S", str(PROGRAM), str(directory), "--key",
                           key.text.decode()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert state_root.hex() in done.stdout

    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != "key")
    assert any(p.parent.name == "entries" for p in files)
    generator = random.Random(3)
    for path in files:
        data = path.read_bytes()
        for _ in range(4):
            i = generator.randrange(len(data))
            path.write_bytes(data[:i] + bytes([data[i] ^ 1 << generator.randrange(8)]) + data[i + 1:])
            refuses(lambda: verify.verify_export(str(directory), key, None), (path, i))
        path.write_bytes(data[:generator.randrange(len(data))])
        refuses(lambda: verify.verify_export(str(directory), key, None), (path, "cut off"))
        path.unlink()
        refuses(lambda: verify.verify_export(str(directory), key, None), (path, "gone"))
        path.write_bytes(data)
    verify.verify_export(str(directory), key, None)


def test_entries_swapped_repeated_or_left_out_are_refused(server, tmp_path):
    with server.client() as client:
        fill(client, seed=4, entries=20)
        key = key_of(client)
    directory = tmp_path / "export"
    export(server, directory)
    size, _ = verify.read_checkpoint((directory / "checkpoint").read_bytes(), key)
    entries = list(verify.read_entries(str(directory), 0, size))
    name = verify.tile_path(0, size)

    def write(order):
        bundle = b"".join(len(r).to_bytes(2, "big") + r for _, r, *_ in order)
        body = b"".join(verify.sized(h) + verify.sized(e) + verify.u32(len(o)) +
                        b"".join(verify.sized(op) for op in o) for _, _, h, e, o in order)
        (directory / "tile/entries" / name).write_bytes(bundle)
        (directory / "body" / name).write_bytes(body)

    write(entries)
    verify.verify_export(str(directory), key, None)
    for bad in (entries[:5] + [entries[6], entries[5]] + entries[7:], entries[:5] + entries[4:-1],
                entries[:5] + entries[6:], entries + entries[-1:]):
        write(bad)
        refuses(lambda: verify.verify_export(str(directory), key, None), "order")


def test_a_restored_log_replays_from_its_snapshot(make_server, tmp_path):
    server = make_server()
    with server.client() as client:
        fill(client, seed=5, entries=40)
        snapshot = client.create_snapshot()
    path = os.path.join(server.data, "snapshots", snapshot.file_name)
    with open(path, "rb") as file:
        data = file.read()
    machine, _, snapshot_hash, _ = verify.load_snapshot(data)
    assert (machine.state_root, snapshot_hash) == (snapshot.state_root, snapshot.snapshot_hash)
    generator = random.Random(6)
    for _ in range(300):
        i = generator.randrange(len(data))
        changed = data[:i] + bytes([data[i] ^ 1 << generator.randrange(8)]) + data[i + 1:]
        refuses(lambda: verify.load_snapshot(changed), i)
    server.stop()
    restored = str(tmp_path / "restored")
    subprocess.run([os.environ["STELE_SERVER"], "--restore", path, "--data-dir", restored], check=True,
                   capture_output=True, timeout=120)
    shutil.rmtree(server.data)
    shutil.move(restored, server.data)
    server.start()
    with server.client() as client:
        client.upsert("l2", ["after"], [[1.0, 2.0, 3.0, 4.0]])
        key = key_of(client)
        root = client.server_info().position.state_root
        assert client.audit.prove_record("l2", "after").exists
        with pytest.raises(stele.OutOfRange):
            client.audit.prove_entry(snapshot.log_index)
    directory = tmp_path / "export"
    export(server, directory)
    _, _, _, machine = verify.verify_export(str(directory), key, data)
    assert machine.state_root == root
    refuses(lambda: verify.verify_export(str(directory), key, None), "no snapshot")


def test_tail_follows(server):
    with server.client() as client:
        client.create_collection("c", dimension=1, metric="l2")
        process = subprocess.Popen([os.environ["STELE_CLI"], "log", "tail", "--from", "0", "--json",
                                    "--address", server.address], stdout=subprocess.PIPE, text=True)
        try:
            assert '"index":0' in process.stdout.readline()
            assert '"index":1' in process.stdout.readline()
            client.upsert("c", ["a"], [[1.0]])
            assert '"inserted":1' in process.stdout.readline()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_both_clients_read_the_log(server):
    import asyncio
    with server.client() as client:
        fill(client, seed=7, entries=10)
        size = client.last_index + 1
        entries = list(client.audit.read_log())
        assert [entry.index for entry in entries] == list(range(size))
        assert [e.index for e in client.audit.read_log(3, 5)] == [3, 4, 5]
        assert all(not e.operations for e in client.audit.read_log(0, operations=False))
        tree = verify.LogTree()
        for entry in entries:
            tree.append(verify.leaf_hash(entry.commit_record))
        assert tree.root() == client.audit.checkpoint(size).root
        for bad in (lambda: client.audit.read_log(size), lambda: client.audit.read_log(0, size),
                    lambda: client.audit.read_log(5, 4)):
            with pytest.raises(stele.OutOfRange):
                list(bad())
        with pytest.raises(stele.InvalidArgument):
            list(client.audit.read_log(0, 1, follow=True))

    async def read():
        async with stele.AsyncClient(server.address) as client:
            found = [entry async for entry in client.audit.read_log()]
            assert found == entries
            assert (await client.audit.checkpoint()).root == tree.root()
            assert (await client.audit.prove_entry(2)).commit_record == entries[2].commit_record
            assert not (await client.audit.prove_record("none", "x")).exists
            following = client.audit.read_log(size - 1, follow=True)
            assert (await following.__anext__()).index == size - 1
            waiting = asyncio.ensure_future(following.__anext__())
            await asyncio.sleep(0.1)
            await client.create_collection("more", dimension=1)
            assert (await asyncio.wait_for(waiting, 30)).index == size
            await following.aclose()

    asyncio.run(read())


def test_a_server_that_stops_ends_what_follows(server):
    with server.client() as client:
        client.create_collection("c", dimension=1)
        follow = client.audit.read_log(0, follow=True, timeout=2)
        assert next(follow).index == 0
        assert next(follow).index == 1
        assert server.stop() == 0
        with pytest.raises(stele.Unavailable):
            next(follow)
