#!/usr/bin/env python3
"""FAISS IndexFlatL2, a blocked sgemm with top-k, and hnswlib over a file of make_embeddings.py.

    faiss_bench.py FILE.f32 ROWS DIMENSION THREADS [--hnsw]

Prints {"faiss_micros", "faiss_batch_micros", "sgemm_batch_micros", ...}: microseconds a query, k = 10, medians;
batches are of 100.
"""

import argparse
import json
import os
import statistics
import time

HITS = 10
BATCH = 100


def micros(run, times):
    samples = []
    for i in range(times):
        began = time.perf_counter()
        run(i)
        samples.append((time.perf_counter() - began) * 1e6)
    return statistics.median(samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("rows", type=int)
    parser.add_argument("dimension", type=int)
    parser.add_argument("threads", type=int)
    parser.add_argument("--hnsw", action="store_true")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(options.threads)
    data = np.fromfile(options.file, "<f4").reshape(-1, options.dimension)
    rows, queries = data[:options.rows], data[options.rows:]
    index = faiss.IndexFlatL2(options.dimension)
    index.add(rows)
    result = {"build": faiss.get_compile_options().strip()}
    single = min(50, len(queries))
    result["faiss_micros"] = micros(lambda i: index.search(queries[i:i + 1], HITS), single)
    batches = max(1, min(3, len(queries) // BATCH))
    result["faiss_batch_micros"] = micros(
        lambda i: index.search(queries[i * BATCH:(i + 1) * BATCH], HITS), batches) / BATCH
    norms = (rows * rows).sum(1)

    def sgemm(i):
        batch = queries[i * BATCH:(i + 1) * BATCH]
        best = []
        for begin in range(0, len(rows), 8192):
            block = rows[begin:begin + 8192]
            distances = norms[begin:begin + 8192] - 2 * (batch @ block.T)
            near = np.argpartition(distances, HITS, axis=1)[:, :HITS]
            best.append(np.take_along_axis(distances, near, 1))
        np.sort(np.concatenate(best, axis=1), axis=1)[:, :HITS]

    result["sgemm_batch_micros"] = micros(sgemm, batches) / BATCH
    if options.hnsw:
        import hnswlib
        graph = hnswlib.Index("l2", options.dimension)
        graph.init_index(len(rows), M=16, ef_construction=100)
        graph.set_num_threads(options.threads)
        graph.add_items(rows)
        graph.set_ef(100)
        found = []
        result["hnsw_micros"] = micros(lambda i: found.append(graph.knn_query(queries[i:i + 1], HITS)[0][0]), single)
        exact = index.search(queries[:single], HITS)[1]
        result["hnsw_recall"] = statistics.mean(len(set(a) & set(b)) / HITS for a, b in zip(found, exact))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
