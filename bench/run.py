#!/usr/bin/env python3
"""Runs the benchmarks, each beside something measured in the same run, and prints a table.

    run.py --build BUILD_DIRECTORY --out bench.json [--only NAME] [--full] [--rounds N]

NAMES: kernel, ingest, growth, write, replay, search, memory, audit, reference, knn (half an hour, so only if named or with --full).
--full: growth up to 1M records instead of 200k, and knn over 1M x 384 too. Writes a list of {name, value, unit, against, ratio, target, at_most}: `value` against
what `against` says, a target for `ratio`, which is an upper bound where `at_most` is set.

A and B run in turn, several times; the ratio is the median of the ratios of the rounds, and their
range stands beside it, because machines are shared and noisy. docs/benchmarks.md explains each figure.
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

import knn

BATCH = 256


class Bench:
    """Programs, scratch directories and results of one run."""

    def __init__(self, options):
        self.scripts = pathlib.Path(__file__).resolve().parent
        self.build = pathlib.Path(options.build).resolve()
        self.full = options.full
        self.rounds = options.rounds
        self.results = []
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=self.build))

    def directory(self):
        return pathlib.Path(tempfile.mkdtemp(dir=self.work))

    def run(self, program, *arguments):
        """A program's output: a number or an object."""
        done = subprocess.run([str(self.build / program), *map(str, arguments)],
                              capture_output=True, text=True, timeout=1800, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program} {' '.join(map(str, arguments))}: exit {done.returncode}: "
                               f"{done.stderr[-500:]}")
        return json.loads(done.stdout)

    def report(self, name, value, unit, against, ratio=None, target=None, at_most=False):
        self.results.append({"name": name, "value": round(value, 3), "unit": unit, "against": against,
                             "ratio": None if ratio is None else round(ratio, 4), "target": target,
                             "at_most": at_most})
        bound, met = "", ""
        if target is not None:
            bound = f"{'<=' if at_most else '>='} {target:g}"
            met = "met" if (ratio <= target if at_most else ratio >= target) else "MISSED"
        shown = "" if ratio is None else f"{ratio:8.3f}"
        print(f"{name:42} {value:12,.1f} {unit:10} {shown:8} {bound:7} {met:6} {against}", flush=True)

    def compare(self, name, pairs, unit, against, target=None):
        """Pairs of (A, B): reports the median of A and that of A / B."""
        ratios = sorted(a / b for a, b in pairs)
        median = statistics.median(a for a, _ in pairs)
        other = statistics.median(b for _, b in pairs)
        self.report(name, median, unit,
                    f"{against}: {other:,.0f}; ratios {ratios[0]:.2f}..{ratios[-1]:.2f}",
                    statistics.median(ratios), target)
        return median


class Server:
    """A server process with default settings and a data directory of its own."""

    def __init__(self, bench):
        self.bench = bench
        self.root = bench.directory()
        self.data = self.root / "data"
        with open(self.root / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [str(bench.build / "server/stele-server"), "--data-dir", str(self.data), "--listen",
                 "127.0.0.1:0", "--http-listen", "", "--log-level", "warn"],
                stdout=subprocess.PIPE, stderr=log, text=True)
        ready = re.search(r"listening on (\S+)", self.process.stdout.readline())
        if ready is None:
            raise RuntimeError(f"the server did not start: {(self.root / 'log').read_text()[-500:]}")
        self.address = ready.group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.root)

    def load(self, kind, collection, rows, dimension, group):
        try:
            return self.bench.run("bench/load_client", kind, self.address, collection, rows, dimension,
                                  group)
        except RuntimeError as error:
            log = (self.root / "log").read_text(encoding="utf-8")[-500:]
            raise RuntimeError(f"{error} (server: {self.process.poll() or 'running'}) {log}") from error

    def ingest(self, rows, dimension, collection="c"):
        return self.load("ingest", collection, rows, dimension, BATCH)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(300)


def bare(bench, *arguments):
    """Rate of bare RocksDB in a fresh directory."""
    directory = bench.directory()
    rate = bench.run("bench/rocksdb_baseline", arguments[0], directory / "db", *arguments[1:])
    shutil.rmtree(directory)
    return rate


def kernel(bench):
    threads = os.cpu_count()
    taken = bench.run("bench/kernel_bench", 768, 512, threads)
    for name in ("l2", "dot"):
        bench.report(f"exact {name} kernel ({taken['kernel']})", taken[name], "GB/s",
                     f"reading the same memory, {threads} threads: {taken['read']:.1f}; "
                     f"memcpy: {taken['copy']:.1f}", taken[name] / taken["read"])


def ingest(bench):
    """Durable ingest over one WriteStream; bare RocksDB writes the same bytes, one sync a batch."""
    rows, dimension, pairs = 40_000, 768, []
    for _ in range(bench.rounds):
        baseline = bare(bench, "batches", rows, dimension, BATCH)
        with Server(bench) as server:
            pairs.append((server.ingest(rows, dimension), baseline))
    rate = bench.compare("ingest, 768 d, 256 a batch", pairs, "rows/s", "bare RocksDB", 0.40)
    bench.report("ingest, 768 d, 256 a batch", rate * dimension * 4 / 1e6, "MB/s", "(float32 taken in)")


def growth(bench):
    """The rate at which 10,000 more rows go in, into an empty server and into a full one."""
    many, dimension, probe, pairs = 1_000_000 if bench.full else 200_000, 384, 10_000, []
    with Server(bench) as large:
        sustained = large.ingest(many, dimension, "filled")
        for round_ in range(2 * bench.rounds):
            with Server(bench) as small:
                first = small.ingest(probe, dimension)
            pairs.append((large.ingest(probe, dimension, f"more{round_}"), first))
    bench.compare(f"ingest, 384 d, {many // 1000}k records held", pairs, "rows/s",
                  "the first 10k of an empty server", 0.8)
    first = statistics.median(b for _, b in pairs)
    bench.report(f"ingest, 384 d, all of 0..{many // 1000}k", sustained, "rows/s",
                 f"the same: {first:,.0f}; with the automatic snapshots", sustained / first)


def write(bench):
    """Single durable writes, and what the parts would do alone."""
    dimension = 768
    for clients, rows, target in ((8, 8_000, 0.60), (1, 2_000, None)):
        pairs, engines, calls = [], [], []
        for _ in range(bench.rounds):
            baseline = bare(bench, "writes", rows, dimension, clients)
            with Server(bench) as server:
                pairs.append((server.load("writes", "c", rows, dimension, clients), baseline))
                calls.append(server.load("calls", "c", 2 * rows, dimension, clients))
            directory = bench.directory()
            engines.append((bench.run("bench/engine_bench", "writes", directory / "data", rows, dimension,
                                      clients), baseline))
            shutil.rmtree(directory)
        bench.compare(f"single writes, {clients} clients", pairs, "writes/s",
                      f"bare RocksDB, synced puts, {clients} threads", target)
        bench.compare(f"single writes, {clients} threads, no gRPC", engines, "writes/s", "the same")
        bench.report(f"empty calls, {clients} clients", statistics.median(calls), "calls/s",
                     "(the ceiling that gRPC sets)")


def replay(bench):
    """Rebuilding the state from the log, opening included, and loading a snapshot."""
    rows, dimension, pairs, loads = 200_000, 768, [], []
    for _ in range(min(3, bench.rounds)):
        with Server(bench) as server:
            rate = server.ingest(rows, dimension)
            subprocess.run([str(bench.build / "client/cli/stele"), "--address", server.address,
                            "snapshot", "create"], check=True, capture_output=True)
            server.stop()
            taken = bench.run("bench/engine_bench", "replay", server.data)
            pairs.append((rows / taken["seconds"], rate))
            snapshot = max((server.data / "snapshots").glob("*.stele"))
            loads.append(bench.run("bench/engine_bench", "load", snapshot))
    bench.compare("replay from the log, 768 d", pairs, "rows/s", "ingest over gRPC", 2.0)
    speed = statistics.median(load["megabytes"] / load["load_seconds"] for load in loads)
    reading = statistics.median(load["megabytes"] / load["read_seconds"] for load in loads)
    bench.report("snapshot load, 768 d", speed, "MB/s", f"300 MB/s; reading the file: {reading:,.0f}",
                 speed / min(300, reading), 1.0)


def search_once(bench, rows, dimension, queries):
    directory = bench.directory()
    taken = bench.run("bench/search_bench", directory / "data", rows, dimension, queries)
    shutil.rmtree(directory)
    return taken


def search(bench):
    for rows, dimension in ((200_000, 384), (50_000, 768)):
        taken = search_once(bench, rows, dimension, 100)
        within = taken["engine_micros"]
        bench.report(f"search over gRPC, {rows // 1000}k x {dimension}", taken["grpc_micros"], "us p50",
                     f"in process: {within:,.0f}; empty call: {taken['empty_micros']:,.0f}",
                     taken["grpc_micros"] / (within + taken["empty_micros"]), 1.15, True)
        bench.report(f"search in process, {rows // 1000}k x {dimension}", rows * dimension * 4 / within / 1e3,
                     "GB/s", "(see the kernels)")
        bench.report(f"search at an index, {rows // 1000}k x {dimension}", taken["at_index_micros"],
                     "us p50", f"the newest state: {within:,.0f}", taken["at_index_micros"] / within,
                     1.10, True)
    search_together(bench)


def search_together(bench):
    """Clients in closed loops, their searches joined and not."""
    rows, dimension = 200_000, 768
    directory = bench.directory()
    taken = bench.run("bench/search_bench", directory / "data", rows, dimension, 40, bench.rounds)
    shutil.rmtree(directory)
    batches, name = taken["batch16_rate"], f"{rows // 1000}k x {dimension}"
    bench.report(f"searches of 16 clients, {name}", taken["joined_16"]["rate"], "1/s",
                 f"batches of 16 in process: {batches:,.0f}; not joined: {taken['apart_16']['rate']:,.0f}",
                 taken["joined_16"]["rate"] / batches, 0.80)
    for clients in (1, 4, 16):
        joined, apart = taken[f"joined_{clients}"], taken[f"apart_{clients}"]
        for part in ("p50", "p99"):
            bench.report(f"search, {clients} clients, {name}", joined[part], f"us {part}",
                         f"not joined: {apart[part]:,.0f}", joined[part] / apart[part])


def memory(bench):
    for dimension in (384, 768, 1536):
        taken = bench.run("bench/engine_bench", "memory", dimension, 50_000)
        bench.report(f"memory of a record, {dimension} d", taken["counted"], "bytes",
                     f"float32: {4 * dimension}; grown by: {taken['resident']:,.0f}",
                     taken["resident"] / (4 * dimension))


# Vectors as stele/bench makes them; inserts as its documentation shows, or in batches.
REFERENCE = r"""
import json, sys, tempfile, time
import numpy
from valoricore import Valoricore
file, rows, dimension, queries, batch = sys.argv[1], *map(int, sys.argv[2:6])
data = numpy.fromfile(file, dtype="<f4").reshape(rows, dimension).tolist()
client = Valoricore(path=tempfile.mkdtemp(dir=sys.argv[6]), max_records=rows + 1, dim=dimension)
began = time.perf_counter()
for i in range(0, rows, batch):
    if batch == 1: client.insert(data[i])
    else: client.insert_batch(data[i:i + batch])
ingest = rows / (time.perf_counter() - began)
times = []
for i in range(queries):
    began = time.perf_counter()
    client.search(data[i], k=10)
    times.append(time.perf_counter() - began)
print(json.dumps({"ingest": ingest, "search_micros": 1e6 * sorted(times)[len(times) // 2]}))
"""


def reference_python(bench):
    """The python of a virtual environment with the reference in it; None, and why, without."""
    venv = bench.build.parent / "reference-venv"
    python = venv / "bin/python"
    steps = ([], [str(python), "-c", "import valoricore"])
    if not python.exists():
        steps = ([sys.executable, "-m", "venv", str(venv)],
                 [str(python), "-m", "pip", "install", "-q", "valoricore==0.3.1"])
    for step in filter(None, steps):
        done = subprocess.run(step, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            shutil.rmtree(venv, ignore_errors=True)
            return None, (done.stderr or done.stdout).strip().splitlines()[-1:]
    return str(python), None


def reference(bench):
    """The reference implementation, embedded, its event log on; ours over gRPC and durable."""
    dimension, queries = 384, 50
    python, reason = reference_python(bench)
    if python is None:
        print(f"reference: valoricore could not be had: {reason}")
        return
    for rows in (2_000, 10_000):
        file = bench.directory() / "vectors"
        file.write_bytes(subprocess.run([str(bench.build / "bench/engine_bench"), "vectors", str(rows),
                                         str(dimension)], check=True, capture_output=True).stdout)
        inserts, searches = [], []
        for batch in (1, BATCH):
            done = subprocess.run([python, "-c", REFERENCE, str(file), str(rows), str(dimension),
                                   str(queries), str(batch), str(file.parent)],
                                  capture_output=True, text=True, timeout=400, check=False)
            if done.returncode != 0:
                print(f"reference: it did not run: {done.stderr.strip().splitlines()[-1:]}")
                return
            theirs = json.loads(done.stdout.strip().splitlines()[-1])
            with Server(bench) as server:
                inserts.append((server.ingest(rows, dimension), theirs["ingest"], batch))
            searches.append((search_once(bench, rows, dimension, queries), theirs["search_micros"]))
        shutil.rmtree(file.parent)
        ours, best, batch = min(inserts, key=lambda pair: pair[0] / pair[1])
        bench.report(f"ingest beside the reference, {rows // 1000}k x {dimension}", ours, "rows/s",
                     f"valoricore, its faster way ({batch} a call): {best:,.0f}", ours / best, 10)
        for key, name in (("engine_micros", "in process"), ("grpc_micros", "over gRPC")):
            pairs = [(ours[key], theirs) for ours, theirs in searches]
            ours, theirs = (statistics.median(side) for side in zip(*pairs))
            bench.report(f"search beside the reference, {name}", ours, "us p50",
                         f"valoricore, in process: {theirs:,.0f}", theirs / ours,
                         3 if name == "in process" else None)


def audit(bench):
    """Receipts beside searches without; log proofs; the tree over the records."""
    rows, dimension, searches = 20_000, 384, 2_000
    for clients in (1, 4):
        pairs = []
        with Server(bench) as server:
            server.ingest(rows, dimension)
            server.load("searches", "c", searches, dimension, clients)
            for _ in range(2 * bench.rounds):
                pairs.append((server.load("receipts", "c", searches, dimension, clients),
                              server.load("searches", "c", searches, dimension, clients)))
        bench.compare(f"searches with receipts, {rows // 1000}k x {dimension}, {clients} clients", pairs,
                      "1/s", "without", 0.90)
    entries = 1_000_000 if bench.full else 100_000
    directory = bench.directory()
    taken = bench.run("bench/audit_bench", "proofs", directory / "data", entries)
    shutil.rmtree(directory)
    for kind in ("inclusion", "consistency"):
        bench.report(f"making a log {kind} proof, {entries:,} entries", taken[f"{kind}_micros"], "us p50",
                     "200 us", taken[f"{kind}_micros"] / 200, 1.0, True)
    taken = bench.run("bench/audit_bench", "roots", entries)
    bench.report(f"state tree, {entries:,} records, 256 an entry", taken["micros"], "us", "12 us a record",
                 taken["micros"] / 12, 1.0, True)
    bench.report(f"state tree, {entries:,} records", taken["bytes"], "bytes", "128 bytes a record",
                 taken["bytes"] / 128, 1.0, True)


BENCHES = {"kernel": kernel, "ingest": ingest, "growth": growth, "write": write, "replay": replay,
           "search": search, "memory": memory, "audit": audit, "reference": reference, "knn": knn.run}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", choices=list(BENCHES))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bench = Bench(options)
    failed = False
    try:
        for name, run in BENCHES.items():
            if options.only not in (None, name):
                continue
            if name == "knn" and options.only is None and not options.full:
                continue  # half an hour
            began = time.monotonic()
            try:
                run(bench)
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                failed = True
                print(f"{name}: {error}", file=sys.stderr)
            print(f"# {name}: {time.monotonic() - began:.0f} s", flush=True)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    pathlib.Path(options.out).write_text(json.dumps(bench.results, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
