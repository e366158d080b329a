"""If these fail, content that was erased can still be found, or what was proved before no longer holds."""

import importlib.util
import os
import pathlib
import random
import secrets
import struct
import subprocess
import time

import grpc
import pytest
import stele
from conftest import state_root

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("stele_verify", ROOT / "client/verifier/stele_verify.py")
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)

DIMENSION = 16


class Needles:
    """Bytes that nothing compresses and that nothing else holds."""

    def __init__(self):
        self.all = {}

    def text(self, what):
        self.all[what] = secrets.token_hex(24).encode()
        return self.all[what].decode()

    def document(self, what):
        self.all[what] = secrets.token_bytes(4000)
        return self.all[what]

    def vector(self, what):
        values = [random.randrange(-1 << 22, 1 << 22) for _ in range(DIMENSION)]
        self.all[what] = struct.pack(f"<{DIMENSION}i", *values)[:32]
        return stele.Q16(values)

    def found(self, directory):
        """Which needles, or pieces of them, the files below the directory hold."""
        found = set()
        for folder, _, names in os.walk(directory):
            for name in names:
                try:
                    data = pathlib.Path(folder, name).read_bytes().strip(b"\0")  # space that is kept
                except FileNotFoundError:
                    continue
                for what, needle in self.all.items():
                    if any(needle[i:i + 16] in data for i in range(0, len(needle) - 15, max(16, len(needle) // 10))):
                        found.add(f"{what} in {name}")
        return found


def write_needles(client, needles):
    """Everything that may be written of a record, and of another that a filter will find."""
    client.create_collection("people", DIMENSION, "l2", erasable=True)
    client.upsert("people", [f"other{i}" for i in range(40)],
                  [[float(i + 1)] * DIMENSION for i in range(40)], [{"n": i} for i in range(40)])
    for version in ("first", "second"):
        client.upsert("people", ["p1"], [needles.vector(f"{version} vector")],
                      [{"mail": needles.text(f"{version} attribute")}],
                      [needles.document(f"{version} document")])
    client.update_attributes("people", "p1", {"note": needles.text("update")})
    with pytest.raises(stele.AlreadyExists):
        client.insert("people", ["p1"], [needles.vector("refused vector")],
                      [{"mail": needles.text("refused attribute")}])
    client.delete_by_filter("people", stele.field("mail") == needles.text("filter literal"))
    mail = needles.text("by filter attribute")
    client.upsert("people", ["p2"], [needles.vector("by filter vector")], [{"mail": mail}])
    client.create_snapshot()
    client.upsert("people", ["after"], [[0.5] * DIMENSION])
    return mail


def export(server, directory):
    subprocess.run([os.environ["STELE_CLI"], "log", "export", str(directory), "--address",
                    server.address], check=True, capture_output=True, timeout=120)


def cli(*arguments):
    return subprocess.run([os.environ["STELE_CLI"], *arguments], capture_output=True, text=True, timeout=120)


def test_nothing_is_left_and_every_proof_holds(server, tmp_path):
    needles = Needles()
    with server.client() as client:
        mail = write_needles(client, needles)
        key_text = client.server_info().checkpoint_key
        key = verify.VerifierKey(key_text.encode())
        before = {
            "record": client.audit.prove_record("people", "p1").text.encode(),
            "commitment": client.audit.prove_record("people", "p1", commitment_only=True).text.encode(),
            "other": client.audit.prove_record("people", "other3").text.encode(),
            "checkpoint": client.audit.checkpoint().note.encode(),
        }
        seen = needles.found(server.data)
        assert {name.split(" in ")[0] for name in seen} == set(needles.all), "to begin with, all are there"

        assert verify.verify_record(before["record"], key, None)["content"] is not None
        old_index = client.last_index
        erased = client.erase("people", ["p1"], request_id="erase-p1")
        assert (erased.deleted_count, erased.missing_count) == (1, 0)
        by_filter = client.erase_by_filter("people", stele.field("mail") == mail)
        assert by_filter.deleted_count == 1 and not by_filter.more
        for result in (erased, by_filter):
            certificate = client.audit.erasure_certificate(result.position.log_index, timeout=60)
            assert certificate.completed_index > result.position.log_index
        assert needles.found(server.data) == set()

        # What was proved before still is, and newer checkpoints extend older ones.
        for name, text in before.items():
            if name == "checkpoint":
                size, _ = verify.read_checkpoint(text, key)
            else:
                assert verify.verify_record(text, key, None)["exists"]
        longer = client.audit.prove_consistency(size).text.encode()
        verify.verify_consistency(longer, key, before["checkpoint"])
        assert not verify.verify_record(client.audit.prove_record("people", "p1").text.encode(), key, None)["exists"]

        # Defined answers where the content was.
        assert client.get("people", ["p1"]).missing_ids == ("p1",) or client.get("people", ["p1"]).missing_ids == ["p1"]
        with pytest.raises(stele.OutOfRange):
            client.get("people", ["other1"], at_index=old_index)
        assert client.write([stele.Erase("people", "p1")], request_id="erase-p1").duplicate
        root = state_root(client)
        export(server, tmp_path / "copy")
        assert needles.found(tmp_path / "copy") == set()
    base, size, _, machine = verify.verify_export(str(tmp_path / "copy"), key, None)
    assert (base, machine.state_root.hex()) == (0, root)
    assert machine.given > 0 and machine.pending == []
    for name in os.listdir(os.path.join(server.data, "snapshots")):
        verify.load_snapshot(pathlib.Path(server.data, "snapshots", name).read_bytes())
    assert server.stop() == 0
    output = server.verify()
    assert root in output and "effects were taken from the log" in output
    server.start()
    with server.client() as client:
        assert state_root(client) == root
        assert client.count("people") == 41


def test_the_certificate_and_every_byte_of_it(server, tmp_path):
    with server.client() as client:
        client.create_collection("people", 2, "l2", erasable=True)
        client.upsert("people", ["a", "b"], [[1.0, 2.0], [3.0, 4.0]])
        erased = client.erase("people", ["a", "gone"])
        assert (erased.deleted_count, erased.missing_count) == (1, 1)
        index = erased.position.log_index
        key_text = client.server_info().checkpoint_key
        with pytest.raises(stele.NotFound):
            client.audit.erasure_certificate(1)
        with pytest.raises(stele.OutOfRange):
            client.audit.erasure_certificate(1 << 40)
        text = client.audit.erasure_certificate(index, timeout=60).text.encode()
    key = verify.VerifierKey(key_text.encode())
    found = verify.verify_certificate(text, key)
    assert found["entry"] == index
    assert found["records"] == sorted(verify.record_key(b"people", i) for i in (b"a", b"gone"))
    file = tmp_path / "certificate"
    done = cli("audit", "certificate", str(index), "--out", str(file), "--address", server.address)
    assert done.returncode == 0, done.stderr
    done = cli("audit", "verify", str(file), "--key", key_text)
    assert done.returncode == 0 and "VERIFIED" in done.stdout, done.stderr
    for i in range(len(text)):
        for bit in (1, 32):
            changed = text[:i] + bytes([text[i] ^ bit]) + text[i + 1:]
            try:
                verify.verify_certificate(changed, key)
            except verify.Refused as refused:
                assert str(refused)
                continue
            raise AssertionError(f"accepted with byte {i} changed")
    for i in range(0, len(text), 37):
        file.write_bytes(text[:i] + bytes([text[i] ^ 1]) + text[i + 1:])
        assert cli("audit", "verify", str(file), "--key", key_text).returncode == 6, i


def test_the_command_line_erases(server):
    with server.client() as client:
        client.create_collection("people", 2, "l2", erasable=True)
        client.create_collection("plain", 2, "l2")
        client.upsert("people", ["a", "b", "c"], [[1.0, 2.0]] * 3, [{"n": 1}, {"n": 1}, {"n": 2}])
        client.upsert("plain", ["a"], [[1.0, 2.0]])
        address = ("--address", server.address)
        assert cli("erase", "people", "c", *address).returncode == 2, "it wants to be confirmed"
        assert client.count("people") == 3
        done = cli("erase", "people", "--filter", '{"attribute": "n", "equals": 1}', "--yes", *address)
        assert done.returncode == 0 and "erased 2 records" in done.stdout, done.stderr
        done = cli("erase", "people", "c", "--yes", "--json", *address)
        assert done.returncode == 0 and '"erased_count": 1' in done.stdout, done.stderr
        assert client.count("people") == 0
        done = cli("erase", "plain", "a", "--yes", *address)
        assert done.returncode != 0 and "COLLECTION_NOT_ERASABLE" in done.stderr + done.stdout
        assert client.count("plain") == 1


def test_kills_at_random_moments_of_the_destruction(make_server):
    server = make_server("--snapshots-kept", "3")
    needles = Needles()
    with server.client() as client:
        mail = write_needles(client, needles)
        erased = client.erase("people", ["p1"])
        by_filter = client.erase_by_filter("people", stele.field("mail") == mail)
    for _ in range(6):
        time.sleep(random.random() * 0.3)
        server.kill()
        server.start()
    with server.client() as client:
        for result in (erased, by_filter):
            client.audit.erasure_certificate(result.position.log_index, timeout=60)
        root = state_root(client)
    assert needles.found(server.data) == set()
    assert server.stop() == 0
    assert root in server.verify()
