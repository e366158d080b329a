"""The reads of the fake server."""

import hashlib

import numpy as np
from fake_semantics import Code, Rejected, decode_vector, invalid, matches

from stele.v1 import memory_service_pb2, types_pb2


class Reads:
    """Part of FakeServer."""

    @staticmethod
    def _record(record_id, stored, selector):
        record = types_pb2.Record(id=record_id, version=stored.version)
        if selector.vector:
            record.vector_q16 = np.asarray(stored.vector).astype("<i4").tobytes()
        if selector.attributes:
            for name, value in stored.attributes.items():
                record.attributes[name].CopyFrom(value)
        if selector.document:
            record.document = stored.document
        return record

    def _check_reply(self, count):
        if count > self.faults.reply_records_max:
            raise Rejected(Code.RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE", "ask for less")

    def GetRecords(self, request, context):
        def execute():
            if not 1 <= len(request.ids) <= 1000:
                raise invalid("1..1000 ids", "ids")
            index, state = self._state(request, context)
            records = self._collection(request.collection, state)[2]
            self._check_reply(len(request.ids))
            return memory_service_pb2.GetRecordsResponse(
                position=self._position(index),
                records=[
                    self._record(i, records[i], request.selector)
                    for i in request.ids if i in records
                ],
                missing_ids=[i for i in request.ids if i not in records],
            )  # fmt: skip

        return self._unary("GetRecords", request, context, execute)

    def ListRecords(self, request, context):
        def execute():
            copy = memory_service_pb2.ListRecordsRequest()
            copy.CopyFrom(request)
            copy.page_token = ""
            arguments = hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()
            index, state = self._state(request, context)
            after = None
            if request.page_token:
                pinned, seen, after = request.page_token.split("/", 2)
                if seen != arguments:
                    raise invalid("other arguments than the first page's", "page_token")
                index, state = int(pinned), self._history[int(pinned)]
            records = self._collection(request.collection, state)[2]
            ids = [
                i for i in sorted(records, key=str.encode)
                if matches(request.filter, records[i].attributes)
                and (after is None or i.encode() > after.encode())
            ]  # fmt: skip
            size = request.page_size or self.limits.default_page_size
            more = len(ids) > size
            return memory_service_pb2.ListRecordsResponse(
                position=self._position(index),
                records=[self._record(i, records[i], request.selector) for i in ids[:size]],
                next_page_token=f"{index}/{arguments}/{ids[size - 1]}" if more else "",
            )

        return self._unary("ListRecords", request, context, execute)

    def CountRecords(self, request, context):
        def execute():
            index, state = self._state(request, context)
            records = self._collection(request.collection, state)[2].values()
            count = sum(1 for stored in records if matches(request.filter, stored.attributes))
            return memory_service_pb2.CountRecordsResponse(
                position=self._position(index), count=count
            )

        return self._unary("CountRecords", request, context, execute)

    def _hits(self, entry, query, selector, field):
        config, _, records = entry
        if not 1 <= query.k <= self.limits.max_k:
            raise invalid("k is 1..max_k", f"{field}.k")
        wanted = decode_vector(query.vector, config, f"{field}.vector").astype(np.int64)
        hits = []
        for record_id, stored in records.items():
            if not matches(query.filter, stored.attributes):
                continue
            row = stored.vector.astype(np.int64)
            if config.metric == types_pb2.METRIC_DOT:
                distance = -int(np.dot(row, wanted))
                score = -distance * 2.0**-32
            else:
                distance = int(((row - wanted) ** 2).sum())
                cosine = config.metric == types_pb2.METRIC_COSINE
                score = 1 - distance * 2.0**-33 if cosine else distance * 2.0**-32
            kind = query.threshold.WhichOneof("kind")
            if kind == "distance_raw_max" and distance > query.threshold.distance_raw_max:
                continue
            if kind == "score":
                nearer = score - query.threshold.score
                if (nearer > 0) if config.metric == types_pb2.METRIC_L2 else (nearer < 0):
                    continue
            hits.append((distance, record_id.encode(), score, record_id, stored))
        hits.sort(key=lambda hit: hit[:2])
        return [
            memory_service_pb2.Hit(
                record=self._record(hit[3], hit[4], selector), distance_raw=hit[0], score=hit[2]
            )
            for hit in hits[: query.k]
        ]

    def _explain(self, request, entry, query):
        """Of a server that computes every row that matches; None where it was not asked for."""
        if not request.explain or not self.faults.explains:
            return None
        rows = list(entry[2].values())
        filtered = query.HasField("filter")
        computed = sum(1 for stored in rows if matches(query.filter, stored.attributes))
        return memory_service_pb2.SearchExplanation(
            algorithm="exact", kernel="python", search_threads=1, rows_visible=len(rows),
            rows_scanned=len(rows), rows_filter_tested=len(rows) if filtered else 0,
            rows_computed=computed, bytes_read=4 * entry[0].dimension * computed,
            filter_strategy=self.faults.filter_strategy or (2 if filtered else 1),
        )  # fmt: skip

    def Search(self, request, context):
        def execute():
            index, state = self._state(request, context)
            entry = self._collection(request.collection, state)
            return memory_service_pb2.SearchResponse(
                position=self._position(index), algorithm="exact",
                hits=self._hits(entry, request.query, request.selector, "query"),
                explanation=self._explain(request, entry, request.query),
            )  # fmt: skip

        return self._unary("Search", request, context, execute)

    def BatchSearch(self, request, context):
        def execute():
            if not 1 <= len(request.queries) <= self.limits.max_batch_queries:
                raise invalid("1..max_batch_queries queries", "queries")
            index, state = self._state(request, context)
            entry = self._collection(request.collection, state)
            results = [
                memory_service_pb2.BatchSearchResponse.Result(
                    hits=self._hits(entry, query, request.selector, f"queries[{i}]"),
                    explanation=self._explain(request, entry, query),
                )
                for i, query in enumerate(request.queries)
            ]
            self._check_reply(sum(len(result.hits) for result in results))
            return memory_service_pb2.BatchSearchResponse(
                position=self._position(index), algorithm="exact", results=results
            )

        return self._unary("BatchSearch", request, context, execute)
