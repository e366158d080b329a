"""If this fails, a request is lost, executed twice or answered wrongly while the server is killed and connections
are cut under clients that ask again: Python ones, and the C++ one of the command line.

The long form: STELE_KILLS=n (make kills).
"""

import collections
import json
import os
import random
import socket
import subprocess
import threading
import time

import stele
from conftest import wait_until

WRITERS = 4
DIMENSION = 8


class Proxy:
    """Between clients and server; cuts connections, with what the server has answered and the client not read."""

    def __init__(self, target, seed):
        self.target = target
        self.random = random.Random(seed)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.pairs = []
        self.mute = threading.Event()
        self.cuts = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                host, port = self.target.rsplit(":", 1)
                server = socket.create_connection((host, int(port)), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            pair = (client, server)
            self.pairs.append(pair)
            threading.Thread(target=self.pump, args=(client, server, pair, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, pair, True), daemon=True).start()

    def pump(self, source, sink, pair, replies):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if not (replies and self.mute.is_set()):  # lost on the way back
                    sink.sendall(data)
        except OSError:
            pass
        self.close(pair)

    def close(self, pair):
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        if pair in self.pairs:
            self.pairs.remove(pair)

    def cut(self):
        """Requests go through for a moment, their replies do not; then all connections are closed."""
        self.mute.set()
        time.sleep(self.random.uniform(0.005, 0.06))
        for pair in list(self.pairs):
            self.close(pair)
        self.mute.clear()
        self.cuts += 1


class Model:
    """What the requests do, in the order of the log."""

    def __init__(self):
        self.records = {}

    def apply(self, operations):
        """(outcome, inserted, updated, deleted); outcomes as in docs/format.md."""
        for kind, record_id, _ in operations:
            if kind == "insert" and record_id in self.records:
                return (3, 0, 0, 0)
            if kind == "update" and record_id not in self.records:
                return (4, 0, 0, 0)
        inserted = updated = deleted = 0
        for kind, record_id, value in operations:
            if kind == "delete":
                deleted += self.records.pop(record_id, None) is not None
            elif record_id in self.records:
                self.records[record_id] = value
                updated += 1
            else:
                self.records[record_id] = value
                inserted += 1
        return (0, inserted, updated, deleted)


def to_operations(operations):
    out = []
    for kind, record_id, value in operations:
        attributes = {"value": value}
        vector = [float(value % 1000)] * DIMENSION
        if kind == "upsert":
            out.append(stele.Upsert("c", record_id, vector, attributes))
        elif kind == "insert":
            out.append(stele.Insert("c", record_id, vector, attributes))
        elif kind == "update":
            out.append(stele.UpdateAttributes("c", record_id, attributes))
        else:
            out.append(stele.Delete("c", record_id))
    return out


class Writer(threading.Thread):
    """Sends random requests until it is stopped; some again after their reply."""

    def __init__(self, number, address, seed):
        super().__init__()
        self.number, self.address = number, address
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.requests = {}   # request id: operations
        self.replies = []    # (request id, outcome, position, counts or None, sent again)
        self.failure = None

    def some_operations(self, value):
        ids = self.random.sample(range(60), self.random.choice((1, 1, 1, 3)))
        return [(self.random.choice(("upsert", "upsert", "insert", "update", "delete")), f"r{i}", value)
                for i in ids]

    def send(self, client, request_id, again):
        try:
            result = client.write(to_operations(self.requests[request_id]), request_id=request_id)
        except (stele.AlreadyExists, stele.NotFound):
            outcome = client.get_outcome(request_id)
            assert outcome.state == stele.OutcomeState.REJECTED, outcome
            self.replies.append((request_id, "rejected", None, None, again))
            return
        counts = (result.inserted_count, result.updated_count, result.deleted_count)
        assert result.duplicate or not again, "executed again"
        self.replies.append((request_id, "ok", result.position, counts, again))

    def run(self):
        try:
            with stele.Client(self.address, timeout=120) as client:
                number = 0
                while not self.stopping.is_set():
                    number += 1
                    request_id = f"{self.number}-{number}"
                    self.requests[request_id] = self.some_operations(number)
                    self.send(client, request_id, False)
                    if self.random.random() < 0.3:
                        self.send(client, f"{self.number}-{self.random.randint(1, number)}", True)
        except Exception as error:  # noqa: BLE001 - reported by the main thread
            self.failure = error


def import_again_and_again(address, path, stopping, failures, rounds):
    """The C++ client: whole imports, which are cut as well."""
    number = 0
    while not stopping.is_set():
        done = subprocess.run(
            [os.environ["STELE_CLI"], "--address", address, "--timeout", "120", "import", "--again", "imported", path],
            capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            failures.append(done.stderr)
            return
        number += 1
        rounds[0] = number


def log_entries(address):
    done = subprocess.run([os.environ["STELE_CLI"], "--address", address, "--json", "log", "tail", "--from", "0",
                           "--once"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_log(entries, writers):
    """Replays the log in the model; gives it."""
    requests = {k: v for writer in writers for k, v in writer.requests.items()}
    seen = collections.Counter(e["request_id"] for e in entries if e["request_id"])
    assert max(seen.values()) == 1, "a request was executed twice"
    model, by_request = Model(), {}
    assert [e["index"] for e in entries] == list(range(len(entries))), "a hole"
    for entry in entries:
        operations = requests.get(entry["request_id"])
        if operations is None:
            continue
        got = (entry["outcome"], entry["inserted"], entry["updated"], entry["deleted"])
        assert got == model.apply(operations), entry
        by_request[entry["request_id"]] = entry
    for writer in writers:
        for request_id, outcome, position, counts, _ in writer.replies:
            entry = by_request.get(request_id)
            assert entry is not None, f"{request_id} was acknowledged and is gone"
            assert (entry["outcome"] == 0) == (outcome == "ok"), entry
            if position is not None:
                assert position.log_index == entry["index"]
                assert position.state_root.hex() == entry["state_root"]
                assert counts == (entry["inserted"], entry["updated"], entry["deleted"])
    return model


def test_kills_and_cuts_under_mixed_load(server, tmp_path):
    seed = int(os.environ.get("STELE_SEED", random.randrange(2**32)))
    print(f"STELE_SEED={seed}")
    chance = random.Random(seed)
    kills = int(os.environ.get("STELE_KILLS", "4"))
    with server.client() as client:
        client.create_collection("c", dimension=DIMENSION, metric="l2")
        client.create_collection("imported", dimension=2, metric="l2")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": f"i{i}", "vector": [i, 1]}) + "\n" for i in range(500)))
    proxy = Proxy(server.address, seed)
    writers = [Writer(i, proxy.address, seed + i) for i in range(WRITERS)]
    stopping, failures, rounds = threading.Event(), [], [0]
    importer = threading.Thread(
        target=import_again_and_again, args=(proxy.address, str(rows), stopping, failures, rounds))
    for thread in [*writers, importer]:
        thread.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 0.5))
        if chance.random() < 0.5:
            proxy.cut()
            time.sleep(chance.uniform(0.0, 0.3))
        server.kill()
        server.start()
    # Everybody gets through once more.
    counts = [len(writer.replies) for writer in writers]
    imports = rounds[0]
    wait_until(lambda: all(w.failure or len(w.replies) > n for w, n in zip(writers, counts)) and
               (failures or rounds[0] > imports), seconds=240)
    for thread in writers:
        thread.stopping.set()
    stopping.set()
    for thread in [*writers, importer]:
        thread.join(300)
    assert not [w.failure for w in writers if w.failure], [w.failure for w in writers]
    assert not failures, failures

    entries = log_entries(server.address)
    model = check_log(entries, writers)
    with server.client() as client:
        stored = {r.id: r.attributes["value"] for r in client.list("c", with_attributes=True)}
        assert stored == model.records
        assert client.count("imported") == 500
    root = entries[-1]["state_root"]
    assert server.stop() == 0
    assert root in server.verify()
    again = sum(1 for w in writers for reply in w.replies if reply[4])
    print(f"{kills} kills, {proxy.cuts} cuts, {sum(len(w.replies) for w in writers)} replies checked, "
          f"{again} of them to requests sent again, {rounds[0]} imports, {len(entries)} entries")
