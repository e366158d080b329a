"""If these fail, a crash loses what was acknowledged, or does something twice."""

import os
import random
import threading
import time

import numpy
import pytest
import stele
from conftest import state_root


def test_kill_during_load_loses_nothing(server):
    """Writers note what was acknowledged; the server is killed again and again at random moments."""
    seed = int(os.environ.get("STELE_SEED", random.randrange(2**32)))
    print("seed", seed)
    random.seed(seed)
    kills = int(os.environ.get("STELE_KILLS", "6"))
    with server.client() as client:
        client.create_collection("c", dimension=8, metric="l2")
    acknowledged = [{} for _ in range(4)]
    stopping = threading.Event()
    failures = []

    def write(writer):
        generator = random.Random(seed + writer)
        number = 0
        try:
            with stele.Client(server.address, timeout=60) as client:
                while not stopping.is_set():
                    record_id = f"w{writer}-{generator.randrange(40)}"
                    value = number
                    number += 1
                    client.upsert("c", [record_id], [[float(value % 1000)] * 8],
                                  attributes=[{"value": value}])
                    acknowledged[writer][record_id] = value
        except Exception as error:  # noqa: BLE001 - reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(kills):
        time.sleep(random.uniform(0.2, 0.8))
        server.kill()
        server.start()
    time.sleep(0.3)
    stopping.set()
    for thread in threads:
        thread.join(90)
    assert not failures, failures
    with server.client() as client:
        stored = {r.id: r.attributes["value"] for r in client.list("c", with_attributes=True)}
        assert stored == {k: v for part in acknowledged for k, v in part.items()}
        root = state_root(client)
    assert server.stop() == 0
    assert root in server.verify()


def test_a_snapshot_then_kill_then_more_then_kill(server):
    rows = numpy.random.default_rng(1).standard_normal((300, 16)).astype(numpy.float32)
    with server.client() as client:
        client.create_collection("c", dimension=16, metric="dot")
        client.upsert("c", [f"a{i}" for i in range(300)], rows, documents=["text"] * 300)
        snapshot = client.create_snapshot()
        client.delete("c", ["a0", "a1"])
        root = state_root(client)
    for _ in range(2):
        server.kill()
        server.start()
        assert server.root == root
    with server.client() as client:
        assert client.count("c") == 298
        assert client.list_snapshots()[0].snapshot_hash == snapshot.snapshot_hash
        assert client.get("c", ["a5"], with_document=True)[0].document == b"text"


def test_terminate_finishes_and_exits_zero(server):
    with server.client() as client:
        client.create_collection("c", dimension=2, metric="l2")
    assert server.stop() == 0


def test_the_data_directory_is_held_by_one_server(server, tmp_path):
    import subprocess
    done = subprocess.run(
        [os.environ["STELE_SERVER"], "--data-dir", server.data, "--listen", "127.0.0.1:0",
         "--http-listen", ""], capture_output=True, text=True, timeout=60)
    assert done.returncode not in (0, None)
    assert "in use" in done.stderr


@pytest.mark.parametrize("name", ["FORMAT", "watermark"])
def test_a_damaged_file_is_named_and_nothing_is_served(server, name):
    with server.client() as client:
        client.create_collection("c", dimension=2, metric="l2")
    server.stop()
    path = os.path.join(server.data, name)
    with open(path, "r+b") as file:
        size = os.path.getsize(path)
        data = file.read()
        file.seek(0)
        file.write(bytes(b ^ 0x55 for b in data[:size]))
    with pytest.raises(AssertionError, match=name):
        server.start()
