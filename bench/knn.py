"""Exact search beside FAISS, a blocked sgemm and a float32 scan of our own (run.py, part `knn`).

Same vectors, same threads, one run after the other in each round. The data are those of make_embeddings.py: no
model is at hand on every machine, and these have the spectra and clusters of real ones.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

QUERIES = 200
# (dimension, rows) and the bound of memory for each row, of float32.
SIZES = (((384, 200_000), 0.80), ((768, 200_000), 0.70), ((1536, 100_000), 0.65))
# Other data: shown, and compared where there is a target.
KINDS = (("anisotropy .84", ("--anisotropy", "0.84"), None), ("outliers", ("--kind", "outliers"), None),
         ("isotropic", ("--kind", "isotropic"), None), ("unnormalised", ("--kind", "unnormalised"), 1.35))
KIND_SIZE = (768, 100_000)


def python(bench):
    """The python of a virtual environment with numpy and FAISS in it; None, and why, without."""
    venv = bench.build.parent / "bench-venv"
    program = venv / "bin/python"
    steps = ([str(program), "-c", "import numpy, faiss, hnswlib"],)
    if not program.exists():
        steps = ([sys.executable, "-m", "venv", str(venv)],
                 [str(program), "-m", "pip", "install", "-q", "numpy", "faiss-cpu", "hnswlib"])
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            shutil.rmtree(venv, ignore_errors=True)
            return None, (done.stderr or done.stdout).strip().splitlines()[-1:]
    return program, None


# FAISS and OpenBLAS as on a processor without AVX-512.
ON_AVX2 = {"OPENBLAS_CORETYPE": "Haswell", "FAISS_OPT_LEVEL": "AVX2"}


def script(bench, program, name, *arguments, environment=None):
    done = subprocess.run([str(program), str(bench.scripts / name), *map(str, arguments)], capture_output=True,
                          text=True, timeout=3600, check=False, env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise RuntimeError(f"{name} {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout) if done.stdout else None


class Figures:
    """Ratios of one figure over the rounds."""

    def __init__(self):
        self.ours, self.ratios, self.against = [], [], []

    def add(self, ours, others):
        name, best = min(others.items(), key=lambda item: item[1])
        self.ours.append(ours)
        self.ratios.append(best / ours)
        self.against.append((best, name))

    def report(self, bench, name, target=None):
        best, against = sorted(self.against)[len(self.against) // 2]
        bench.report(name, statistics.median(self.ours), "us",
                     f"{against}: {best:,.0f}; ratios {min(self.ratios):.2f}..{max(self.ratios):.2f}",
                     statistics.median(self.ratios), target)


def one_size(bench, program, size, kind=(), rounds=3, threads=(1, 2), others=True):
    """The figures of one file: {(what, threads): Figures}, and what knn_bench said last.

    With `others` those of older processors' kernels, too.
    """
    dimension, rows = size
    directory = bench.directory()
    file = directory / "vectors.f32"
    script(bench, program, "make_embeddings.py", file, rows, dimension, "--queries", QUERIES, *kind)
    figures, last = {}, {}
    for _ in range(rounds):
        for count in threads:
            ours = bench.run("bench/knn_bench", file, rows, dimension, count)
            theirs = script(bench, program, "faiss_bench.py", file, rows, dimension, count)
            read = bench.run("bench/kernel_bench", dimension, 512, count)["read"]
            last = ours
            singles = {"FAISS": theirs["faiss_micros"], "float32 scan": ours["float_micros"]}
            batches = {"FAISS": theirs["faiss_batch_micros"], "sgemm": theirs["sgemm_batch_micros"]}
            figures.setdefault(("one query", count), Figures()).add(ours["exact_micros"], singles)
            figures.setdefault(("batch of 100", count), Figures()).add(ours["batch_micros"], batches)
            # The float32 scan reads memory too: whoever reads it faster says what the machine can do.
            scanned = rows * dimension * 4 / ours["float_micros"] / 1e3
            fastest = max(read, scanned)
            figures.setdefault(("bandwidth", count), []).append(
                (ours["bytes"] / ours["exact_micros"] / 1e3, fastest))
            if others and ours["kernels"] == "avx512amx":
                vnni = bench.run("bench/knn_bench", file, rows, dimension, count, "avx512vnni")
                figures.setdefault(("batch of 100, VNNI", count), Figures()).add(vnni["batch_micros"], batches)
            if others and platform.machine() == "x86_64":
                narrow = bench.run("bench/knn_bench", file, rows, dimension, count, "avx2")
                theirs = script(bench, program, "faiss_bench.py", file, rows, dimension, count, environment=ON_AVX2)
                batches = {"FAISS": theirs["faiss_batch_micros"], "sgemm": theirs["sgemm_batch_micros"]}
                figures.setdefault(("batch of 100, AVX2", count), Figures()).add(narrow["batch_micros"], batches)
    if others:
        figures["filters"] = filtered(bench, file, size, rounds)
        figures["graph"] = script(bench, program, "faiss_bench.py", file, rows, dimension, 1, "--hnsw")
    shutil.rmtree(directory)
    return figures, last


SHARES = (("50 %", "filter_50_micros"), ("5 %", "filter_5_micros"), ("0.5 %", "filter_05_micros"))


def filtered(bench, file, size, rounds):
    """For each share of rows that a filter matches: (time with it, time without one) on one thread."""
    taken = {share: [] for share, _ in SHARES}
    for _ in range(rounds):
        run = bench.run("bench/knn_bench", file, size[1], size[0], 1, "auto", "filters")
        for share, name in SHARES:
            taken[share].append((run[name], run["exact_micros"]))
    return taken


def report_filters(bench, label, taken):
    for share, pairs in taken.items():
        with_filter, without = (statistics.median(side) for side in zip(*pairs))
        bench.report(f"filter of {share}, {label}", with_filter, "us", f"without a filter: {without:,.0f}",
                     *((with_filter / without, 1.1, True) if share != "0.5 %" else (without / with_filter, 5)))


def report_size(bench, label, figures, last, targets=True):
    goals = {"one query": 5, "batch of 100": 4 if last["kernels"] != "avx2" else 1.5,
             "batch of 100, VNNI": 4, "batch of 100, AVX2": 1.5}
    if "filters" in figures:
        report_filters(bench, label, figures.pop("filters"))
        graph = figures.pop("graph")
        bench.report(f"hnswlib, {label}, 1 thr.", graph["hnsw_micros"], "us",
                     f"M 16, ef 100: {100 * graph['hnsw_recall']:.1f} % of the true hits; exact: "
                     f"{last['exact_micros']:,.0f} on as many as 2 thr.")
    for (what, count), taken in figures.items():
        name = f"{what}, {label}, {count} thr."
        if what == "bandwidth":
            ours, read = (statistics.median(side) for side in zip(*taken))
            bench.report(name, ours, "GB/s", f"read at most: {read:.1f}; {last['bytes'] / 1e6:.1f} MB a query",
                         statistics.median(a / b for a, b in taken), 0.6 if targets else None)
        else:
            taken.report(bench, name, goals[what] if targets else None)
    rows = last["rows"]
    bench.report(f"kept by 4 bits, {label}", last["kept4"], "rows",
                 f"of {rows:,.0f}: {100 * last['kept4'] / rows:.2f} %; by 8 bits {last['kept8']:,.0f}; "
                 f"computed {last['computed']:,.0f}")


def report_memory(bench, label, dimension, last, bound):
    per_row = last["bytes_per_row"]
    bench.report(f"memory of a row, {label}", per_row, "bytes", f"float32: {4 * dimension}",
                 per_row / (4 * dimension), bound, True)


def run(bench):
    program, reason = python(bench)
    if program is None:
        print(f"knn: numpy and faiss-cpu could not be had: {reason}")
        return
    rounds = min(3, bench.rounds)
    for size, bound in SIZES:
        label = f"{size[1] // 1000}k x {size[0]}"
        figures, last = one_size(bench, program, size, rounds=rounds, others=size[0] == 768)
        report_size(bench, label, figures, last)
        report_memory(bench, label, size[0], last, bound)
        if size[0] == 768:
            micros = last["coding_micros"]
            bench.report("coding a row, 768 d", micros, "us", "6 us", micros / 6, 1, True)
    for kind, options, bound in KINDS:
        label = f"{kind}, {KIND_SIZE[1] // 1000}k x {KIND_SIZE[0]}"
        figures, last = one_size(bench, program, KIND_SIZE, options, 1, (2,), False)
        report_size(bench, label, figures, last, targets=False)
        report_memory(bench, label, KIND_SIZE[0], last, bound)
    if bench.full:
        figures, last = one_size(bench, program, (384, 1_000_000), rounds=rounds, threads=(2,), others=False)
        report_size(bench, "1M x 384", figures, last)
