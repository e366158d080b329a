"""If these fail, an auditor is shown something false, or cannot check what is true, with the real server."""

import base64
import os
import shutil
import subprocess


def cli(*arguments, address=None, code=0):
    command = [os.environ["STELE_CLI"], *arguments]
    if address is not None:
        command += ["--address", address, "--timeout", "20"]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode() if code == 0 else done.stderr.decode()


def server_key(server):
    import json
    info = json.loads(cli("server", "info", "--json", address=server.address))
    return info["checkpoint_key"]


def fill(server, rows=40, first=0):
    with server.client() as client:
        if first == 0:
            client.create_collection("c", dimension=4, metric="l2")
        for i in range(first, first + rows):
            client.upsert("c", [f"r{i}"], [[float(i), 1.0, 2.0, 3.0]], attributes=[{"n": i}],
                          documents=[f"text {i}"])


def changed_copies(text):
    """Every byte changed, one at a time, in two ways; and cut off after each line."""
    for i in range(len(text)):
        for bit in (1, 32):
            yield i, text[:i] + bytes([text[i] ^ bit]) + text[i + 1:]
    for i in range(len(text)):
        if text[i:i + 1] == b"\n":
            yield i, text[:i]


def test_proofs_verify_and_changed_ones_do_not(server, tmp_path):
    fill(server)
    key = server_key(server)
    old, proof, longer = (str(tmp_path / name) for name in ("old", "entry.tlog-proof", "longer"))
    cli("audit", "checkpoint", "--size", "17", "--out", old, address=server.address)
    cli("audit", "prove-entry", "7", "--out", proof, address=server.address)
    cli("audit", "prove-consistency", "17", "--out", longer, address=server.address)
    assert "17 entries" in cli("audit", "verify", old, "--key", key)
    assert "entry 7" in cli("audit", "verify", proof, "--key", key)
    assert "begins with" in cli("audit", "verify", longer, "--key", key, "--old", old)
    # For another older checkpoint, without one, with another key.
    other = str(tmp_path / "other")
    cli("audit", "checkpoint", "--size", "16", "--out", other, address=server.address)
    cli("audit", "verify", longer, "--key", key, "--old", other, code=6)
    cli("audit", "verify", longer, "--key", key, code=2)
    name = key.split("+")[0]
    import hashlib
    public = b"\x01" + bytes(32)
    stranger = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4].hex()
    cli("audit", "verify", old, "--key",
        f"{name}+{stranger}+{base64.b64encode(public).decode()}", code=6)
    # One in seventeen of the changed ones: each is a process.
    for path, options in ((old, []), (proof, []), (longer, ["--old", old])):
        with open(path, "rb") as file:
            text = file.read()
        for number, (i, changed) in enumerate(changed_copies(text)):
            if number % 17 != 0:
                continue
            bad = str(tmp_path / "changed")
            with open(bad, "wb") as file:
                file.write(changed)
            message = cli("audit", "verify", bad, "--key", key, *options, code=6)
            assert "checkpoint" in message or "proof" in message, (i, message)


def test_out_of_range(server):
    fill(server, 3)
    assert "OUT_OF_RANGE" in cli("audit", "prove-entry", "999", "--json", address=server.address,
                                 code=1)
    cli("audit", "checkpoint", "--size", "999", address=server.address, code=1)
    cli("audit", "prove-consistency", "999", address=server.address, code=1)
    cli("audit", "prove-consistency", "0", address=server.address, code=1)


def test_the_key_stays_and_is_secret(server):
    fill(server, 3)
    key = server_key(server)
    path = os.path.join(server.data, "checkpoint-key.pem")
    assert os.stat(path).st_mode & 0o777 == 0o600
    server.stop()
    server.start()
    assert server_key(server) == key
    with open(server.log, encoding="utf-8") as log:
        assert key in log.read()


def test_watch_sees_growth_and_rollback_and_fork(server, tmp_path):
    state = str(tmp_path / "state")
    key = server_key(server)
    fill(server, 5)
    watch = ("audit", "watch", "--once", "--state", state)
    assert "ok:" in cli(*watch, "--key", key, address=server.address)
    fill(server, 5, first=5)
    assert "ok:" in cli(*watch, address=server.address)
    server.stop()
    copy = str(tmp_path / "copy")
    shutil.copytree(server.data, copy)
    server.start()
    fill(server, 10, first=10)
    assert "ok:" in cli(*watch, address=server.address)
    server.stop()
    # The older log, put back whole: shorter than what was seen.
    shutil.rmtree(server.data)
    shutil.copytree(copy, server.data)
    server.start()
    assert "ROLLBACK" in cli(*watch, address=server.address, code=8)
    conflict = state + ".conflict"
    with open(conflict, encoding="utf-8") as file:
        assert file.read().count("\u2014 ") == 2
    # Grown beyond it with other entries.
    fill(server, 30, first=100)
    assert "FORK" in cli(*watch, address=server.address, code=8)


def test_watch_sees_another_server(make_server, tmp_path):
    first, second = make_server(), make_server()
    state = str(tmp_path / "state")
    cli("audit", "watch", "--once", "--state", state, address=first.address)
    assert "REPLACED" in cli("audit", "watch", "--once", "--state", state, address=second.address,
                             code=8)
    with open(state, "r+b") as file:
        byte = file.read()[40]
        file.seek(40)
        file.write(bytes([byte ^ 1]))
    cli("audit", "watch", "--once", "--state", state, address=first.address, code=6)


def test_a_given_key_signs(make_server, tmp_path):
    pem = str(tmp_path / "key.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", pem], check=True)
    server = make_server("--signing-key", pem)
    der = subprocess.run(["openssl", "pkey", "-in", pem, "-pubout", "-outform", "DER"], check=True,
                         capture_output=True).stdout
    assert base64.b64decode(server_key(server).split("+", 2)[2])[1:] == der[-32:]
    assert not os.path.exists(os.path.join(server.data, "checkpoint-key.pem"))


def test_auditors_may_and_readers_may_not(make_server, tmp_path):
    lines, keys = [], {}
    for role in ("reader", "auditor"):
        made = subprocess.run([os.environ["STELE_SERVER"], "--new-key", role, role], check=True,
                              capture_output=True, text=True).stdout.split("\n")
        keys[role] = str(tmp_path / role)
        with open(keys[role], "w", encoding="utf-8") as file:
            file.write(made[0])
        lines.append(made[1])
    ring = tmp_path / "keys"
    ring.write_text("\n".join(lines) + "\n")
    ring.chmod(0o600)
    server = make_server("--keys-file", str(ring))
    cli("audit", "checkpoint", "--api-key-file", keys["auditor"], address=server.address)
    for command in (["checkpoint"], ["prove-entry", "0"], ["prove-consistency", "1"]):
        cli("audit", *command, "--api-key-file", keys["reader"], address=server.address, code=7)


def test_verify_compares_the_log_with_what_was_signed(server):
    fill(server, 20)
    cli("audit", "checkpoint", "--size", "21", address=server.address)
    server.stop()
    verify = [os.environ["STELE_SERVER"], "--verify", "--data-dir", server.data]
    assert subprocess.run(verify, capture_output=True, timeout=120).returncode == 0
    path = os.path.join(server.data, "checkpoint")
    with open(path, "rb") as file:
        note = file.read()
    lines = note.split(b"\n")
    for bad in (note.replace(lines[1], str(int(lines[1]) - 1).encode(), 1),
                note.replace(lines[1], str(int(lines[1]) + 1).encode(), 1),
                note.replace(lines[2][:4], b"AAAA", 1), note[:40], b""):
        with open(path, "wb") as file:
            file.write(bad)
        done = subprocess.run(verify, capture_output=True, timeout=120, text=True)
        assert done.returncode == 6 and "checkpoint" in done.stderr, (bad, done.stderr)
