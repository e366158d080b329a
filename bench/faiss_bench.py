#!/usr/bin/env python3
"""FAISS IndexFlatL2, a blocked sgemm with top-k, and hnswlib over a file of make_embeddings.py.

    faiss_bench.py FILE.f32 ROWS DIMENSION THREADS [--hnsw]

Prints {"faiss_micros", "faiss_batch_micros", "sgemm_batch_micros", ...}: microseconds a query, k = 10, medians;
batches are of 100, and the file must hold as many queries.
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
    batches = [queries[i:i + BATCH] for i in range(0, len(queries) - BATCH + 1, BATCH)]
    # FAISS decides by the size of a batch whether BLAS shall multiply, not always well: the better of both.
    usual = faiss.cvar.distance_compute_blas_threshold
    taken = []
    for threshold in {usual, 1}:
        faiss.cvar.distance_compute_blas_threshold = threshold
        taken.append(micros(lambda i: index.search(batches[i % len(batches)], HITS), 3) / BATCH)
    faiss.cvar.distance_compute_blas_threshold = usual
    result["faiss_batch_micros"] = min(taken)
    norms = (rows * rows).sum(1)

    def sgemm(i):
        """The nearest by |r|^2 - 2 <q, r>; what is not below the worst of the best so far is passed over."""
        batch = batches[i % len(batches)]
        best = np.full((len(batch), HITS), np.inf, np.float32)
        ids = np.full((len(batch), HITS), -1)
        for begin in range(0, len(rows), 8192):
            distances = (-2 * batch) @ rows[begin:begin + 8192].T
            distances += norms[begin:begin + 8192]
            for query in np.nonzero(distances.min(1) < best[:, -1])[0]:
                near = np.nonzero(distances[query] < best[query, -1])[0]
                if len(near) > HITS:
                    near = near[np.argpartition(distances[query, near], HITS)[:HITS]]
                together = np.concatenate([best[query], distances[query, near]])
                order = np.argsort(together)[:HITS]
                best[query] = together[order]
                ids[query] = np.concatenate([ids[query], begin + near])[order]
        return ids

    result["sgemm_batch_micros"] = micros(sgemm, 3) / BATCH
    result["sgemm_recall"] = statistics.mean(
        len(set(a) & set(b)) / HITS for a, b in zip(sgemm(0), index.search(batches[0], HITS)[1]))
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
