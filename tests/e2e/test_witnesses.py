"""If these fail, a witness signs what does not extend what it signed before, the server serves cosignatures that
nobody made, or a verifier counts one that is not there."""

import asyncio
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import stele
from test_verifier import Options, PROGRAM, fill, key_of, refuses, verify

CLI = os.environ["STELE_CLI"]


def cli(*arguments):
    done = subprocess.run([CLI, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


class Witness:
    def __init__(self, directory, name):
        self.name, self.pem, self.state = name, directory / f"{name}.pem", directory / f"{name}.state"
        code, out, err = cli("audit", "witness-key", "--key", self.pem, "--create", "--name", name)
        assert code == 0, err
        self.key = out.strip()
        assert oct(self.pem.stat().st_mode & 0o777) == "0o600"

    def cosign(self, server, log_key, *more):
        return cli("audit", "cosign", "--key", self.pem, "--name", self.name, "--log-key", log_key, "--state", self.state,
                   "--address", server.address, *more)


@pytest.fixture
def witnesses(tmp_path):
    return [Witness(tmp_path, f"witness-{number}") for number in range(3)]


@pytest.fixture
def watched(make_server, witnesses, tmp_path):
    keys = tmp_path / "witness keys"
    keys.write_text("# the witnesses\n\n" + "\n".join(w.key for w in witnesses[:2]) + "\n")
    return make_server("--witness-keys", str(keys))


def test_cosignatures_are_made_served_and_judged(watched, witnesses, tmp_path):
    with watched.client() as client:
        fill(client, entries=20)
        key = client.server_info().checkpoint_key
        for witness in witnesses[:2]:
            code, out, err = witness.cosign(watched, key)
            assert code == 0 and "cosigned" in out, err
        note = client.audit.checkpoint().note
        assert note.count("\n\u2014 ") == 3
        # Again: nothing new for the log, a newer time for the witness.
        assert witnesses[0].cosign(watched, key)[0] == 0
        assert client.audit.checkpoint().note.count("\n\u2014 ") == 3
        proof = client.audit.prove_entry(3).text
        receipt = client.search("l2", [1, 2, 3, 4], receipt=True).receipt
        assert proof.count("\n\u2014 ") == 3 and receipt.count("\n\u2014 ") == 4
        assert verify.verify_text(proof.encode(), key_of(client), Options())
        assert verify.verify_receipt(receipt.encode(), key_of(client))
    file = tmp_path / "cp"
    file.write_text(note, encoding="utf-8")
    two = ["--witness", witnesses[0].key, "--witness", witnesses[1].key]
    third = ["--witness", witnesses[2].key]
    for expected, arguments in ((0, two), (0, two + ["--witnesses", "2"]), (0, two + third + ["--witnesses", "2"]),
                                (6, two + third), (6, third), (0, third + ["--witnesses", "0"]),
                                (2, two + ["--witnesses", "3"])):
        code, out, err = cli("audit", "verify", "checkpoint", file, "--key", key, *arguments)
        assert code == expected, (arguments, out, err)
        if expected != 2:
            done = subprocess.run([sys.executable, "-I", "-S", str(PROGRAM), str(file), "--key", key, *arguments],
                                  capture_output=True, text=True)
            assert done.returncode == (0 if expected == 0 else 1), done.stderr
    # Twice the same witness is one.
    assert cli("audit", "verify", file, "--key", key, *two[:2], *two[:2], "--witnesses", "2")[0] == 2
    refuses(lambda: verify.verify_text(note.encode(), verify.VerifierKey(key.encode()),
                                       Options(witness=[witnesses[0].key] * 2, witnesses=2)), "twice the same")
    # Every byte of what is judged.
    data = note.encode()
    trusted = verify.VerifierKey(key.encode())
    options = Options(witness=[w.key for w in witnesses[:2]], witnesses=2)
    assert verify.verify_text(data, trusted, options)
    for i in range(len(data)):
        changed = data[:i] + bytes([data[i] ^ 4]) + data[i + 1:]
        refuses(lambda: verify.verify_text(changed, trusted, options), i)
    for i in range(0, len(data), 19):
        file.write_bytes(data[:i] + bytes([data[i] ^ 4]) + data[i + 1:])
        assert cli("audit", "verify", file, "--key", key, *two)[0] == 6, i
    # They outlive a restart.
    assert watched.stop() == 0
    watched.start()
    with watched.client() as client:
        size = verify.read_checkpoint(data, trusted)[0]
        assert client.audit.checkpoint(size).note.count("\n\u2014 ") == 3
        assert client.search("l2", [1, 2, 3, 4], receipt=True).receipt.count("\n\u2014 ") == 4


def test_what_is_no_cosignature_is_refused(watched, make_server, witnesses, tmp_path):
    other = make_server()
    out = tmp_path / "cosigned"
    with watched.client() as client, other.client() as stranger:
        fill(client, entries=5)
        key = client.server_info().checkpoint_key
        assert witnesses[0].cosign(watched, key, "--no-submit", "--out", out)[0] == 0
        good = out.read_text(encoding="utf-8")
        plain = client.audit.checkpoint().note

        def refused(reason, note, server=client):
            with pytest.raises(stele.InvalidArgument) as raised:
                server.audit.add_cosignatures(note)
            assert raised.value.reason == reason, raised.value

        refused("NOTE_MALFORMED", "")
        refused("NOTE_MALFORMED", "nothing")
        refused("NOTE_MALFORMED", good + "x")
        refused("COSIGNATURE_MISSING", plain)
        refused("CHECKPOINT_UNKNOWN", good, stranger)
        refused("CHECKPOINT_UNKNOWN", stranger.audit.checkpoint().note)
        refused("CHECKPOINT_UNKNOWN", "x" + good)
        lines = good.split("\n")
        refused("CHECKPOINT_UNKNOWN", "\n".join(lines[:4] + lines[5:]))
        head, _, blob = lines[5].rpartition(" ")
        raw = bytearray(verify.base64.b64decode(blob))
        for place in (4, 11, 12, 75):
            changed = bytearray(raw)
            changed[place] ^= 1
            bad = "\n".join(lines[:5] + [head + " " + verify.base64.b64encode(bytes(changed)).decode()] + lines[6:])
            refused("COSIGNATURE_INVALID", bad)
        short = "\n".join(lines[:5] + [head + " " + verify.base64.b64encode(bytes(raw[:-1])).decode()] + lines[6:])
        refused("COSIGNATURE_INVALID", short)
        assert client.audit.checkpoint().note == plain
        # One whom the server does not know.
        assert witnesses[2].cosign(watched, key, "--no-submit", "--out", out)[0] == 0
        refused("COSIGNATURE_MISSING", out.read_text(encoding="utf-8"))
        taken = client.audit.add_cosignatures(good)
        assert taken.note.count("\n\u2014 ") == 2 and client.audit.checkpoint(taken.tree_size).note == taken.note

    async def again():
        async with stele.AsyncClient(watched.address) as client:
            assert (await client.audit.add_cosignatures(good)).note == taken.note

    asyncio.run(again())


def test_a_witness_signs_no_fork(make_server, witnesses, tmp_path):
    server = make_server()
    with server.client() as client:
        fill(client, entries=5)
        key = client.server_info().checkpoint_key
    server.stop()
    shutil.copytree(server.data, tmp_path / "earlier")
    server.start()
    witness = witnesses[0]
    with server.client() as client:
        client.create_collection("more", dimension=1)
    assert witness.cosign(server, key, "--no-submit")[0] == 0
    server.stop()
    shutil.rmtree(server.data)
    shutil.copytree(tmp_path / "earlier", server.data)
    server.start()
    out = tmp_path / "out"
    before = witness.state.read_bytes()
    code, _, err = witness.cosign(server, key, "--no-submit", "--out", out)
    assert code == 8 and "ROLLBACK" in err, err
    with server.client() as client:
        for number in range(3):
            client.create_collection(f"other {number}", dimension=1)
    code, _, err = witness.cosign(server, key, "--no-submit", "--out", out)
    assert code == 8 and "FORK" in err, err
    assert not out.exists() and witness.state.read_bytes() == before
    other = make_server()
    assert witness.cosign(other, key, "--no-submit", "--out", out)[0] == 8 and not out.exists()


def test_a_bad_file_of_witness_keys_stops_the_start(tmp_path, witnesses):
    keys = tmp_path / "keys"
    for text, what in (("nonsense\n", "line 1"), (witnesses[0].key + "\n" + witnesses[0].key, "twice"),
                       (witnesses[0].key[:-4] + "AAA=", "line 1")):
        keys.write_text(text)
        done = subprocess.run([os.environ["STELE_SERVER"], "--data-dir", str(tmp_path / "data"), "--listen",
                               "127.0.0.1:0", "--http-listen", "", "--witness-keys", str(keys)],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and what in done.stderr, done.stderr
