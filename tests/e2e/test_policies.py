"""If these fail, what is under a legal hold can be erased, or how far back states reach is not what the log says."""

import importlib.util
import os
import pathlib
import subprocess

import pytest
import stele
from conftest import state_root

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("stele_verify", ROOT / "client/verifier/stele_verify.py")
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)


def cli(server, *arguments):
    return subprocess.run([os.environ["STELE_CLI"], *arguments, "--address", server.address],
                          capture_output=True, text=True, timeout=120)


def check_everything(server, client, tmp_path, name):
    """An export replays to the server's root in the independent verifier, and proofs hold."""
    copy = tmp_path / name
    assert cli(server, "log", "export", str(copy)).returncode == 0
    key = verify.VerifierKey(client.server_info().checkpoint_key.encode())
    machine = verify.verify_export(str(copy), key, None)[3]
    assert machine.state_root.hex() == state_root(client)
    proof = client.audit.prove_record("people", "a").text.encode()
    assert verify.verify_record(proof, key, None)["exists"]
    file = tmp_path / f"{name}.proof"
    file.write_bytes(proof)
    done = cli(server, "audit", "verify", str(file), "--key", client.server_info().checkpoint_key)
    assert done.returncode == 0, done.stderr
    return machine


def test_what_is_held_cannot_be_erased(server, tmp_path):
    with server.client() as client:
        client.create_collection("people", 2, "l2", erasable=True)
        client.upsert("people", ["a", "b", "c"], [[1.0, 2.0]] * 3, [{"n": 1}, {"n": 1}, {"n": 2}])
        set_at = client.audit.set_hold("people", "case 7", "court order", ["a"])
        held = client.audit.holds("people")
        assert [(h.name, h.reason, h.ids, h.set_index) for h in held] == [("case 7", "court order", ("a",), set_at)]
        assert client.audit.holds() == held
        with pytest.raises(stele.AlreadyExists):
            client.audit.set_hold("people", "case 7")
        with pytest.raises(stele.FailedPrecondition) as refused:
            client.erase("people", ["a", "b"])
        assert refused.value.reason == "HELD" and refused.value.metadata["hold_index"] == str(set_at)
        with pytest.raises(stele.FailedPrecondition):
            client.erase_by_filter("people", stele.field("n") == 1)
        with pytest.raises(stele.FailedPrecondition):
            client.drop_collection("people")
        assert client.count("people") == 3
        assert client.erase("people", ["b"]).deleted_count == 1
        client.create_snapshot()
        machine = check_everything(server, client, tmp_path, "held")
        assert list(machine.collections[b"people"].holds) == [b"case 7"]
        root = state_root(client)
    server.kill()
    server.start()
    with server.client() as client:
        assert state_root(client) == root and client.audit.holds("people") == held
        for name in os.listdir(os.path.join(server.data, "snapshots")):
            verify.load_snapshot(pathlib.Path(server.data, "snapshots", name).read_bytes())
        client.audit.set_hold("people", "everything")
        with pytest.raises(stele.FailedPrecondition):
            client.erase("people", ["never there"])
        done = cli(server, "hold", "list", "people")
        assert "case 7" in done.stdout and "court order" in done.stdout
        assert cli(server, "hold", "release", "people", "everything").returncode == 0
        client.audit.release_hold("people", "case 7")
        with pytest.raises(stele.NotFound):
            client.audit.release_hold("people", "case 7")
        with pytest.raises(stele.NotFound):
            client.audit.set_hold("nowhere", "x")
        assert client.audit.holds() == ()
        assert cli(server, "hold", "set", "people", "again", "--reason", "r", "--id", "a").returncode == 0
        assert client.audit.holds()[0].ids == ("a",)
        client.audit.release_hold("people", "again")
        check_everything(server, client, tmp_path, "released")
        assert client.erase("people", ["a", "c"]).deleted_count == 2
        root = state_root(client)
    assert server.stop() == 0
    assert root in server.verify()


def test_a_logged_retention_counts_instead_of_the_setting(make_server, tmp_path):
    server = make_server("--history-entries", "1000")
    with server.client() as client:
        info = client.server_info()
        assert info.history_entries == 1000 and not info.history_is_logged
        client.create_collection("people", 2, "l2")
        for i in range(20):
            client.upsert("people", ["a"], [[float(i + 1), 2.0]])
        assert client.get("people", ["a"], at_index=client.last_index - 15).records
        client.set_retention(5)
        info = client.server_info()
        assert info.history_entries == 5 and info.history_is_logged
        last = client.last_index
        assert client.get("people", ["a"], at_index=last - 5).records
        with pytest.raises(stele.OutOfRange):
            client.get("people", ["a"], at_index=last - 6)
        check_everything(server, client, tmp_path, "short")
        client.create_snapshot()
        done = cli(server, "retention", "set", "12")
        assert done.returncode == 0, done.stderr
        with pytest.raises(stele.InvalidArgument) as refused:
            client.set_retention(131073)
        assert refused.value.reason == "HISTORY_OUT_OF_RANGE"
        for i in range(20):
            client.upsert("people", ["a"], [[float(i + 1), 3.0]])
        root = state_root(client)
    server.kill()
    server.flags = ("--history-entries", "3")
    server.start()
    with server.client() as client:
        info = client.server_info()
        assert info.history_entries == 12 and info.history_is_logged
        assert state_root(client) == root
        client.upsert("people", ["a"], [[9.0, 3.0]])
        last = client.last_index
        assert client.get("people", ["a"], at_index=last - 12).records
        with pytest.raises(stele.OutOfRange):
            client.get("people", ["a"], at_index=last - 13)
        check_everything(server, client, tmp_path, "long")
    assert server.stop() == 0
    server.verify()
