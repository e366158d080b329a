"""Churn for a long time: memory and file descriptors of the server stay flat. make soak, or

    STELE_SERVER=... PYTHONPATH=... soak.py SECONDS

A fixed number of records is written over and over, deleted and made anew, searched, listed, snapshotted; collections come and
go; clients connect and leave. The first third is not judged.
"""

import os
import pathlib
import random
import re
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import stele  # noqa: E402
from conftest import Server  # noqa: E402

DIMENSION = 64
MIB = 1 << 20


def churn(number, address, stopping, counts, failures):
    chance = random.Random(number)
    try:
        while not stopping.is_set():
            with stele.Client(address, timeout=60) as client:  # connections come and go
                for _ in range(200):
                    if stopping.is_set():
                        return
                    ids = [f"r{chance.randrange(2000)}" for _ in range(4)]
                    drawn = chance.random()
                    if drawn < 0.5:
                        client.write([stele.Upsert("c", i, [chance.uniform(-1, 1) for _ in range(DIMENSION)],
                                                   {"n": chance.randrange(10)}, "text" * chance.randrange(200))
                                      for i in set(ids)])
                    elif drawn < 0.6:
                        client.delete("c", ids)
                    elif drawn < 0.9:
                        client.search("c", [chance.uniform(-1, 1) for _ in range(DIMENSION)], k=10)
                    elif drawn < 0.97:
                        sum(1 for _ in client.list("c", page_size=500))
                    elif drawn < 0.975:
                        client.create_snapshot()
                    else:
                        name = f"temporary {number}"
                        client.create_collection(name, dimension=4, metric="l2")
                        client.upsert(name, ["a", "b"], [[1, 2, 3, 4]] * 2)
                        client.drop_collection(name)
                    counts[number] += 1
    except Exception as error:  # noqa: BLE001 - reported by the main thread
        failures.append(error)


def sample(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024
    return resident, len(os.listdir(f"/proc/{process.pid}/fd"))


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 900
    with tempfile.TemporaryDirectory(prefix="stele-soak-") as directory:
        server = Server(directory, "--history-entries", "1000", "--snapshot-log-bytes", "16MiB").start()
        with server.client() as client:
            client.create_collection("c", dimension=DIMENSION, metric="cosine")
        stopping, counts, failures, samples = threading.Event(), [0] * 4, [], []
        threads = [threading.Thread(target=churn, args=(i, server.address, stopping, counts, failures))
                   for i in range(len(counts))]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not failures:
            time.sleep(min(2.0, seconds / 60))
            samples.append(sample(server.process))
            if len(samples) % 60 == 0:
                print(f"{sum(counts)} calls, {samples[-1][0] // MIB} MiB, {samples[-1][1]} files", flush=True)
        stopping.set()
        for thread in threads:
            thread.join(90)
        assert not failures, failures
        assert server.stop() == 0
        third = len(samples) // 3
        middle, last = samples[third:2 * third], samples[2 * third:]
        resident = [statistics.median(s[0] for s in part) / MIB for part in (middle, last)]
        files = [max(s[1] for s in part) for part in (middle, last)]
        print(f"{seconds:.0f} s, {sum(counts)} calls: {resident[0]:.0f} MiB in the second third, {resident[1]:.0f} in the "
              f"last; at most {files[0]} and {files[1]} files")
        if resident[1] > resident[0] * 1.1 + 16 or files[1] > files[0] + 20:
            print("the server grows")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
