"""If these fail, the server gives other answers or roots than the arithmetic contract demands."""

import json
import os
import pathlib
import random

import exact_reference
import numpy
import pytest
import stele
from conftest import state_root

DEMO = pathlib.Path(__file__).resolve().parent.parent / "data" / "demo"


def load_demo():
    rows = numpy.load(DEMO / "records.npy")
    records = [json.loads(line) for line in open(DEMO / "records.jsonl", encoding="utf-8")]
    return rows, records


def test_the_demo_questions_get_the_expected_answers(server):
    rows, records = load_demo()
    queries = numpy.load(DEMO / "queries.npy")
    expected = json.load(open(DEMO / "expected.json", encoding="utf-8"))["queries"]
    with server.client() as client:
        client.create_collection("packages", dimension=384, metric="cosine")
        client.upsert("packages", [r["id"] for r in records], rows,
                      attributes=[r["attributes"] for r in records],
                      documents=[r["document"] for r in records])
        for query, want in zip(queries, expected):
            hits = client.search("packages", query, k=10)
            assert [[h.id, h.distance_raw] for h in hits] == want["hits"]


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_random_vectors_against_the_naive_reference(server, metric):
    seed = int(os.environ.get("STELE_SEED", random.randrange(2**32)))
    print("seed", seed)
    random.seed(seed)
    generator = numpy.random.default_rng(seed)
    dimension = random.choice([1, 3, 17, 64, 100, 257])
    count = 500
    rows = (generator.standard_normal((count, dimension)) * random.choice([0.01, 1, 30])).astype(
        numpy.float32)
    rows[numpy.abs(rows).max(axis=1) < 2.0**-16] = 2.0**-16  # what rounds to zero is refused
    rows[7] = rows[3]  # an exact tie, decided by id
    ids = [f"r{i:03d}-é" for i in range(count)]
    raw = [exact_reference.normalize_float64(row.astype(float)) if metric == "cosine"
           else exact_reference.quantize_float32(row) for row in rows]
    with server.client() as client:
        client.create_collection("c", dimension=dimension, metric=metric)
        client.upsert("c", ids, rows)
        for query in list(rows[:5]) + list(generator.standard_normal((5, dimension)).astype(numpy.float32)):
            raw_query = (exact_reference.normalize_float64(query.astype(float)) if metric == "cosine"
                         else exact_reference.quantize_float32(query))
            want = exact_reference.knn(metric.upper(), raw_query, ids, raw, 20)
            hits = client.search("c", query, k=20)
            assert [(h.id, h.distance_raw) for h in hits] == [tuple(hit) for hit in want]


def test_batch_splits_and_order_do_not_change_the_root(make_server):
    rows, records = load_demo()
    rows, records = rows[:600], records[:600]
    roots = set()
    for split in (1000, 37, 1):
        server = make_server()
        order = list(range(len(records)))
        random.shuffle(order)
        with server.client() as client:
            client.create_collection("packages", dimension=384, metric="cosine")
            for start in range(0, len(order), split):
                part = order[start:start + split]
                if split == 1 and start > 200:
                    part = order[start:] if start == 201 else []
                if part:
                    client.upsert("packages", [records[i]["id"] for i in part], rows[part],
                                  attributes=[records[i]["attributes"] for i in part],
                                  documents=[records[i]["document"] for i in part])
            roots.add(state_root(client))
    assert len(roots) == 1
