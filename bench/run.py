#!/usr/bin/env python3
"""Runs the benchmarks and compares each with something measured in the same run.

    run.py --build BUILD_DIRECTORY --out bench.json [--only NAME] [--full]

NAMES: ingest, write, replay, search, memory, reference. --full: ingest up to 1M rows. Writes a list of
{name, value, unit, against, ratio, target, at_most} and prints it as a table. A and B run in turn, and
medians are compared, since machines are noisy.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 3


class Bench:
    def __init__(self, build, full):
        self.build = pathlib.Path(build).resolve()
        self.full = full
        self.rows = []
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=self.build))
        self.count = 0

    def directory(self):
        self.count += 1
        path = self.work / str(self.count)
        path.mkdir()
        return path

    def run(self, program, *arguments):
        done = subprocess.run([str(self.build / program), *map(str, arguments)],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program} {arguments}: exit {done.returncode}: {done.stderr[-500:]}")
        return done.stdout.strip()

    def report(self, name, value, unit, against, ratio, target=None, at_most=False):
        self.rows.append({"name": name, "value": round(value, 4), "unit": unit, "against": against,
                          "ratio": None if ratio is None else round(ratio, 4), "target": target,
                          "at_most": at_most})
        met = ""
        if target is not None and ratio is not None:
            met = "met" if (ratio <= target if at_most else ratio >= target) else "MISSED"
        bound = "" if target is None else f"{'<=' if at_most else '>='} {target}"
        print(f"{name:34} {value:14,.1f} {unit:12} {'' if ratio is None else f'{ratio:8.3f}'} "
              f"{bound:10} {met:7} {against}", flush=True)


class Server:
    """A server process on a data directory of its own."""

    def __init__(self, bench, *flags):
        self.data = bench.directory() / "data"
        self.process = subprocess.Popen(
            [str(bench.build / "server/stele-server"), "--data-dir", str(self.data), "--listen",
             "127.0.0.1:0", "--http-listen", "", "--log-level", "warn", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = re.search(r"listening on (\S+)", self.process.stdout.readline()).group(1)

    def stop(self):
        self.process.terminate()
        self.process.wait(120)


def ingest(bench):
    """Durable ingest, one WriteStream, batches of 256, against synced WriteBatches of bare RocksDB."""
    rows, dimension = 40_000, 768
    ours, bare = [], []
    for _ in range(ROUNDS):
        bare.append(float(bench.run("bench/rocksdb_baseline", "batches", bench.directory() / "db",
                                    rows, dimension, 256)))
        server = Server(bench)
        ours.append(float(bench.run("bench/load_client", "ingest", server.address, "c", rows,
                                    dimension, 256)))
        server.stop()
        shutil.rmtree(server.data)
    rate = statistics.median(ours)
    bench.report("ingest 768-d, 256 a batch", rate, "rows/s", "bare RocksDB, same bytes and syncs",
                 rate / statistics.median(bare), 0.40)
    bench.report("ingest 768-d, bytes", rate * dimension * 4 / 1e6, "MB/s", "float32 bytes taken in",
                 None)
    many = 1_000_000 if bench.full else 200_000
    server = Server(bench)
    first = float(bench.run("bench/load_client", "ingest", server.address, "small", 10_000, 384, 256))
    bench.run("bench/load_client", "ingest", server.address, "large", many - 10_000, 384, 256)
    last = float(bench.run("bench/load_client", "ingest", server.address, "small2", 10_000, 384, 256))
    total = f"{many:,} records held"
    server.stop()
    shutil.rmtree(server.data)
    bench.report(f"ingest 384-d with {total}", last, "rows/s", "the first 10,000", last / first, 0.8)


def write(bench):
    """Single durable writes of 8 clients against 8 threads of synced puts."""
    rows = 4_000
    ours, bare = [], []
    for _ in range(ROUNDS):
        bare.append(float(bench.run("bench/rocksdb_baseline", "writes", bench.directory() / "db",
                                    rows, 768, 8)))
        server = Server(bench)
        ours.append(float(bench.run("bench/load_client", "writes", server.address, "c", rows, 768, 8)))
        server.stop()
    rate = statistics.median(ours)
    bench.report("single writes, 8 clients", rate, "writes/s", "bare RocksDB, 8 threads of synced puts",
                 rate / statistics.median(bare), 0.60)


def replay(bench):
    """Rebuilding from the log, and loading a snapshot."""
    rows, dimension = 40_000, 768
    server = Server(bench)
    rate = float(bench.run("bench/load_client", "ingest", server.address, "c", rows, dimension, 256))
    subprocess.run([str(bench.build / "client/cli/stele"), "--address", server.address, "snapshot",
                    "create"], check=True, capture_output=True)
    server.stop()
    taken = statistics.median(json.loads(bench.run("bench/engine_bench", "replay", server.data))["seconds"]
                              for _ in range(ROUNDS))
    bench.report("replay from the log", rows / taken, "rows/s", "ingest over gRPC", rows / taken / rate, 2.0)
    snapshot = sorted((server.data / "snapshots").glob("*.stele"))[-1]
    loads = [json.loads(bench.run("bench/engine_bench", "load", snapshot)) for _ in range(ROUNDS)]
    speed = statistics.median(load["megabytes"] / load["load_seconds"] for load in loads)
    bench.report("snapshot load", speed, "MB/s", "300 MB/s", speed / 300, 1.0)


def search(bench):
    for rows, dimension in ((200_000, 384), (50_000, 768)):
        taken = json.loads(bench.run("bench/search_bench", bench.directory() / "data", rows, dimension, 60))
        floor = taken["engine_micros"] + taken["empty_micros"]
        bench.report(f"search {rows // 1000}k x {dimension} over gRPC", taken["grpc_micros"], "us p50",
                     f"in process {taken['engine_micros']:.0f} + empty call {taken['empty_micros']:.0f}",
                     taken["grpc_micros"] / floor, 1.15, True)


def memory(bench):
    for dimension in (384, 768, 1536):
        taken = json.loads(bench.run("bench/engine_bench", "memory", dimension, 50_000))
        bench.report(f"memory a record, {dimension} d", taken["counted"], "bytes",
                     f"float32; resident {taken['resident']:.0f}", taken["counted"] / (4 * dimension))


REFERENCE = r"""
import json, random, sys, tempfile, time
from valoricore import Valoricore
rows, dimension, queries = map(int, sys.argv[1:4])
random.seed(1)
data = [[random.uniform(-1, 1) for _ in range(dimension)] for _ in range(rows)]
client = Valoricore(path=tempfile.mkdtemp())
began = time.perf_counter()
for row in data:
    client.insert(row)
ingest = rows / (time.perf_counter() - began)
times = []
for query in data[:queries]:
    began = time.perf_counter()
    client.search(query, k=10)
    times.append(time.perf_counter() - began)
print(json.dumps({"ingest": ingest, "search": sorted(times)[len(times) // 2]}))
"""


def reference(bench):
    """The reference implementation from PyPI, embedded; ours over gRPC, durable."""
    rows, dimension = 5_000, 384
    venv = bench.build.parent / "reference-venv"
    python = venv / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "valoricore"], check=True)
    done = subprocess.run([str(python), "-c", REFERENCE, str(rows), str(dimension), "20"],
                          capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        print(f"reference: it did not run: {done.stderr.strip().splitlines()[-1]}")
        return
    theirs = json.loads(done.stdout.strip().splitlines()[-1])
    server = Server(bench)
    ours = float(bench.run("bench/load_client", "ingest", server.address, "c", rows, dimension, 256))
    server.stop()
    bench.report("ingest beside the reference", ours, "rows/s", f"valoricore {theirs['ingest']:.0f} rows/s",
                 ours / theirs["ingest"], 10)
    taken = json.loads(bench.run("bench/search_bench", bench.directory() / "data", rows, dimension, 60))
    bench.report("search beside the reference", taken["engine_micros"], "us p50",
                 f"valoricore {theirs['search'] * 1e6:.0f} us", theirs["search"] * 1e6 / taken["engine_micros"], 3)


BENCHES = {"ingest": ingest, "write": write, "replay": replay, "search": search, "memory": memory,
           "reference": reference}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", choices=sorted(BENCHES))
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    bench = Bench(options.build, options.full)
    try:
        for name, run in BENCHES.items():
            if options.only in (None, name):
                began = time.monotonic()
                try:
                    run(bench)
                except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                    print(f"{name}: {error}", file=sys.stderr)
                print(f"# {name}: {time.monotonic() - began:.0f} s")
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
        pathlib.Path(options.out).write_text(json.dumps(bench.rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
