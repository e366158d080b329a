"""If these fail, searches and filters give wrong answers. They hold for every server."""

import datetime

import numpy as np
import pytest

import stele

UTC = datetime.timezone.utc
year = stele.field("year")


def fill(client, notes):
    rows = [
        ("a", [0, 0, 0], {"year": 2019, "lang": "de", "tags": ["x", "y"]}),
        ("b", [1, 0, 0], {"year": 2020, "lang": "en"}),
        ("c", [2, 0, 0], {"year": 2021.5, "lang": "de", "tags": ["y"]}),
        ("d", [3, 0, 0], {"when": datetime.datetime(2024, 1, 1, tzinfo=UTC), "raw": b"\1"}),
        ("e", [4, 0, 0], {"flag": True, "lang": "fr"}),
    ]
    client.upsert(notes, [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


@pytest.mark.parametrize(
    "filter, expected",
    [
        (year == 2020, "b"),
        (year == 2020.0, "b"),
        (year != 2020, "ac"),
        (year >= 2020, "bc"),
        (year > 2020, "c"),
        (year <= 2020, "ab"),
        (year < 2020, "a"),
        (stele.field("lang").in_(["de", "fr"]), "ace"),
        (stele.field("lang").in_([]), ""),
        (stele.field("lang").not_in(["de", "fr"]), "b"),
        (stele.field("lang").not_in([]), "abce"),
        (stele.field("tags").contains("y"), "ac"),
        (year.exists(), "abc"),
        (year.missing(), "de"),
        (~year.exists(), "de"),
        (~(year >= 2020), "ade"),
        ((year >= 2020) & (stele.field("lang") == "de"), "c"),
        ((year == 2019) | (stele.field("flag") == True), "ae"),  # noqa: E712
        (stele.field("raw") == b"\1", "d"),
        (stele.field("when") >= datetime.datetime(2023, 12, 31, tzinfo=UTC), "d"),
        (stele.field("when") == datetime.datetime(2024, 1, 1, 1,
            tzinfo=datetime.timezone(datetime.timedelta(hours=1))), "d"),
        ({"all_of": []}, "abcde"),
        ({"any_of": []}, ""),
        ({"attribute": "year", "greater_or_equal": 2020}, "bc"),
        ('{"any_of": [{"attribute": "year", "equals": 2019}, {"attribute": "lang",'
         ' "one_of": ["fr"]}]}', "ae"),
        ({"none_of": [{"attribute": "year", "exists": True}]}, "de"),
        ({"all_of": [year >= 2020, {"attribute": "lang", "equals": "de"}]}, "c"),
        ((year >= 2020).to_proto(), "bc"),
        (None, "abcde"),
    ],
    ids=str,
)  # fmt: skip
def test_filters(client, notes, filter, expected):
    fill(client, notes)
    assert client.count(notes, filter) == len(expected)
    assert [r.id for r in client.list(notes, filter, page_size=2)] == list(expected)
    assert client.search(notes, [0, 0, 0], filter=filter).ids == list(expected)


def test_search(client, notes):
    fill(client, notes)
    result = client.search(notes, [0.75, 0, 0], k=3, with_attributes=True, with_vector=True)
    assert result.ids == ["b", "a", "c"] and len(result) == 3
    assert [hit.distance_raw for hit in result] == [1 << 28, 9 << 28, 25 << 28]
    assert [hit.score for hit in result] == [0.0625, 0.5625, 1.5625]
    assert result[0].vector_float.tolist() == [1, 0, 0] and result[0].attributes["year"] == 2020
    assert result[0].document is None and result.algorithm == "exact"
    assert result.position.log_index >= result[0].version > 0
    assert client.search(notes, [0.75, 0, 0], threshold=0.5625).ids == ["b", "a"]
    assert client.search(notes, [0.75, 0, 0], distance_raw_max=(9 << 28) - 1).ids == ["b"]
    with pytest.raises(stele.InvalidArgument, match="exclude"):
        client.search(notes, [0, 0, 0], threshold=1.0, distance_raw_max=1)
    for k in (0, -1, 10**6, 1.5, True):
        with pytest.raises(stele.InvalidArgument):
            client.search(notes, [0, 0, 0], k=k)


def test_ties_are_broken_by_id(client, notes):
    ids = ["b", "a", "ä", "B", "aa", "€", "z"]
    client.upsert(notes, ids, np.ones((7, 3)))
    expected = sorted(ids, key=str.encode)
    assert client.search(notes, [0, 0, 0]).ids == expected
    assert client.search(notes, [0, 0, 0], k=3).ids == expected[:3]


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_batch_search_equals_searches_and_brute_force(client, name, metric):
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(60, 8)).astype(np.float32)
    queries = rng.normal(size=(5, 8)).astype(np.float32)
    client.create_collection(name, 8, metric)
    client.upsert(name, [f"{i:02}" for i in range(60)], rows)
    result = client.batch_search(name, queries, k=7)
    ids, distance_raw = result.as_arrays()
    assert ids.shape == distance_raw.shape == (5, 7) and distance_raw.dtype == np.int64
    assert result.counts.tolist() == [7] * 5 and len(result) == 5
    convert = stele.normalize if metric == "cosine" else stele.quantize
    stored, asked = convert(rows).astype(np.int64), convert(queries).astype(np.int64)
    for row, query in enumerate(asked):
        raw = -(stored @ query) if metric == "dot" else ((stored - query) ** 2).sum(axis=1)
        order = np.lexsort((np.arange(60), raw))[:7]
        assert ids[row].tolist() == [f"{i:02}" for i in order]
        assert distance_raw[row].tolist() == np.asarray(raw)[order].tolist()
        single = client.search(name, queries[row], k=7)
        assert [(h.id, h.distance_raw, h.score) for h in single] == [
            (h.id, h.distance_raw, h.score) for h in result[row]
        ]
    scores = result.scores
    assert scores.shape == (5, 7) and scores[0, 0] == result[0][0].score
    client.drop_collection(name)


def test_batch_search_pads_short_rows(client, notes):
    client.upsert(notes, ["a", "b"], [[0, 0, 0], [1, 0, 0]])
    result = client.batch_search(notes, np.zeros((2, 3)), k=4, filter=None)
    assert result.ids.tolist() == [["a", "b", None, None]] * 2
    assert result.distance_raw.tolist() == [[0, 1 << 32, 2**63 - 1, 2**63 - 1]] * 2
    assert np.isnan(result.scores[:, 2:]).all() and result.counts.tolist() == [2, 2]


def test_explain(client, notes):
    fill(client, notes)
    plain = client.search(notes, [0, 0, 0], k=2)
    result = client.search(notes, [0, 0, 0], k=2, explain=True)
    assert plain.explanation is None and result.ids == plain.ids == ["a", "b"]
    explanation = result.explanation
    assert explanation.algorithm == "exact" and explanation.kernel
    assert explanation.search_threads >= 1 and explanation.bytes_read > 0
    assert explanation.rows_visible == explanation.rows_scanned == 5
    assert 5 >= explanation.rows_kept_4bit >= explanation.rows_kept_8bit >= 0
    assert 5 >= explanation.rows_computed >= 2 and explanation.rows_filter_tested == 0
    assert explanation.filter_strategy is stele.FilterStrategy.NONE
    assert explanation.filter_candidates == 0
    assert isinstance(explanation, stele.SearchExplanation)


def test_explain_of_a_batch(client, notes):
    fill(client, notes)
    vectors = np.zeros((3, 3))
    plain = client.batch_search(notes, vectors, k=2, filter=year >= 2020)
    result = client.batch_search(notes, vectors, k=2, filter=year >= 2020, explain=True)
    assert [r.explanation for r in plain] == [None] * 3
    assert result.ids.tolist() == plain.ids.tolist() == [["b", "c"]] * 3
    for explanation in (r.explanation for r in result):
        assert explanation.rows_visible == 5 and explanation.rows_computed >= 2
        assert explanation.filter_strategy in (
            stele.FilterStrategy.SCAN, stele.FilterStrategy.POSTINGS
        )  # fmt: skip
        assert explanation.rows_filter_tested >= 2
