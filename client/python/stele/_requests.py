"""Requests from arguments, results from replies. Pure functions around the session's indices."""

from __future__ import annotations

import uuid
from dataclasses import fields
from typing import Any, Dict, List, Optional, Sequence, Union

from stele import errors, model
from stele._session import Call, Session, unsigned
from stele._vectors import to_vector, to_vectors
from stele.arithmetic import Q16
from stele.filters import to_filter
from stele.v1 import admin_service_pb2, collection_service_pb2, memory_service_pb2, types_pb2
from stele.values import Timestamp, from_attributes, set_attributes

Selector = types_pb2.Selector
Point = Union[None, int, Timestamp]


def selector(vector: bool, attributes: bool, document: bool) -> Selector:
    return Selector(vector=vector, attributes=attributes, document=document)


def new_request_id() -> str:
    return uuid.uuid4().hex


# ---- operations ----------------------------------------------------------------------------------


OPERATIONS = (
    model.Upsert, model.Insert, model.UpdateAttributes, model.Delete, model.DeleteByFilter,
    model.Erase, model.EraseByFilter,
)  # fmt: skip


def to_operation(operation: Any, where: str) -> memory_service_pb2.Operation:
    """The protobuf Operation of a dataclass from stele.model, or of itself."""
    if isinstance(operation, memory_service_pb2.Operation):
        return operation
    if not isinstance(operation, OPERATIONS):
        raise errors.InvalidArgument(
            f"{where}: expected Upsert, Insert, UpdateAttributes, Delete, DeleteByFilter, Erase or EraseByFilter, "
            f"got {type(operation).__name__}"
        )
    result = memory_service_pb2.Operation(collection=name(operation, "collection", where))
    if isinstance(operation, (model.Upsert, model.Insert)):
        record = result.upsert if isinstance(operation, model.Upsert) else result.insert
        fill_record(record, operation.id, to_vector(operation.vector, f"{where}.vector"),
                    operation.attributes, operation.document, where)  # fmt: skip
    elif isinstance(operation, model.UpdateAttributes):
        result.update_attributes.id = name(operation, "id", where)
        set_attributes(result.update_attributes.set, operation.set or {}, f"{where}.set")
        if isinstance(operation.remove, str):
            raise errors.InvalidArgument(f"{where}.remove: expected a list of names, got a str")
        result.update_attributes.remove.extend(operation.remove)
    elif isinstance(operation, model.Delete):
        result.delete_record.id = name(operation, "id", where)
    elif isinstance(operation, model.Erase):
        result.erase.id = name(operation, "id", where)
    else:
        by_filter = (
            result.erase_by_filter
            if isinstance(operation, model.EraseByFilter)
            else result.delete_by_filter
        )
        target = to_filter(operation.filter)
        if target is None:
            raise errors.InvalidArgument(
                f"{where}.filter: missing; {{'all_of': []}} matches every record"
            )
        by_filter.filter.CopyFrom(target)
        by_filter.limit = unsigned(operation.limit, f"{where}.limit", 32)
    version = getattr(operation, "expected_version", None)
    if version is not None:
        result.precondition.expected_version = unsigned(version, f"{where}.expected_version")
    if getattr(operation, "must_not_exist", False):
        if version is not None:
            raise errors.InvalidArgument(
                f"{where}: must_not_exist and expected_version contradict each other"
            )
        result.precondition.must_not_exist = True
    return result


def name(owner: Any, attribute: str, where: str) -> str:
    value = getattr(owner, attribute)
    if not isinstance(value, str):
        raise errors.InvalidArgument(
            f"{where}.{attribute}: expected a str, got {type(value).__name__}"
        )
    return value


def fill_record(
    record: Any, record_id: Any, vector: Any, attributes: Any, document: Any, where: str
) -> None:
    """Fills a RecordInput."""
    if not isinstance(record_id, str):
        raise errors.InvalidArgument(f"{where}.id: expected a str, got {type(record_id).__name__}")
    record.id = record_id
    record.vector.CopyFrom(vector)
    if attributes is not None:
        set_attributes(record.attributes, attributes, f"{where}.attributes")
    if document is not None:
        if not isinstance(document, (str, bytes, bytearray, memoryview)):
            raise errors.InvalidArgument(
                f"{where}.document: expected bytes or str, got {type(document).__name__}"
            )
        record.document = document.encode() if isinstance(document, str) else bytes(document)


def write_request(
    session: Session,
    operations: Any,
    request_id: Optional[str] = None,
    expected_state_index: Optional[int] = None,
) -> memory_service_pb2.WriteRequest:
    """A WriteRequest with its id and the index that the client knows now."""
    if isinstance(operations, OPERATIONS + (memory_service_pb2.Operation,)):
        operations = [operations]
    request = memory_service_pb2.WriteRequest(
        request_id=request_id if request_id is not None else new_request_id(),
        known_index=session.last_index,
    )
    for position, operation in enumerate(operations):
        request.operations.append(to_operation(operation, f"operations[{position}]"))
    if expected_state_index is not None:
        request.expected_state_index = unsigned(expected_state_index, "expected_state_index")
    return request


# ---- calls ---------------------------------------------------------------------------------------


def write(session: Session, request: Any) -> Call[model.WriteResult]:
    return Call(
        "memory", "Write", request,
        lambda reply: write_result(reply, request.request_id), request.request_id,
    )  # fmt: skip


def create_collection(
    session: Session, collection: str, dimension: int, metric: Any, description: str,
    receipts: Any, erasable: bool, request_id: Optional[str],
) -> Call[model.Collection]:  # fmt: skip
    request = collection_service_pb2.CreateCollectionRequest(
        request_id=request_id if request_id is not None else new_request_id(),
        known_index=session.last_index,
    )
    request.config.name = collection
    request.config.dimension = unsigned(dimension, "dimension", 32)
    request.config.metric = model.Metric.parse(metric).value  # type: ignore[assignment]
    request.config.options.description = description
    policy = model.ReceiptPolicy.parse(receipts)
    request.config.options.receipts = policy.value  # type: ignore[assignment]
    request.config.options.erasable = erasable
    return Call("collections", "CreateCollection", request,
                lambda reply: collection_result(reply.collection), request.request_id)  # fmt: skip


def get_collection(
    session: Session, collection: str, min_index: Optional[int]
) -> Call[model.Collection]:
    request = collection_service_pb2.GetCollectionRequest(
        name=collection, min_index=session.min_index(min_index, None)
    )
    return Call("collections", "GetCollection", request,
                lambda reply: collection_result(reply.collection))  # fmt: skip


def list_collections(session: Session, min_index: Optional[int]) -> Call[Any]:
    request = collection_service_pb2.ListCollectionsRequest(
        min_index=session.min_index(min_index, None)
    )
    return Call("collections", "ListCollections", request, lambda reply: reply)


def drop_collection(session: Session, collection: str, request_id: Optional[str]) -> Call[int]:
    request = collection_service_pb2.DropCollectionRequest(
        request_id=request_id if request_id is not None else new_request_id(),
        name=collection, known_index=session.last_index,
    )  # fmt: skip
    return Call("collections", "DropCollection", request, lambda reply: int(reply.dropped_count),
                request.request_id)  # fmt: skip


def set_read(session: Session, request: Any, min_index: Any, at_index: Any) -> None:
    """at_index: an index, a Timestamp (see history.read_point), or None."""
    request.min_index = session.min_index(min_index, at_index)
    if isinstance(at_index, Timestamp):
        request.at_time_micros = at_index.micros
    elif at_index is not None:
        request.at_index = unsigned(at_index, "at_index")


def get(
    session: Session, collection: str, ids: Sequence[str], parts: Selector,
    min_index: Optional[int], at_index: Point,
) -> Call[model.GetResult]:  # fmt: skip
    request = memory_service_pb2.GetRecordsRequest(collection=collection, ids=ids, selector=parts)
    set_read(session, request, min_index, at_index)

    def parse(reply: Any) -> model.GetResult:
        return model.GetResult(
            [record_result(record, parts) for record in reply.records],
            list(reply.missing_ids), position_result(reply.position),
        )  # fmt: skip

    return Call("memory", "GetRecords", request, parse)


def list_records(
    session: Session, collection: str, filter: Any, parts: Selector, page_size: int,
    min_index: Optional[int], at_index: Point,
) -> Call[Any]:  # fmt: skip
    request = memory_service_pb2.ListRecordsRequest(
        collection=collection, filter=to_filter(filter), selector=parts,
        page_size=unsigned(page_size, "page_size", 31),
    )  # fmt: skip
    set_read(session, request, min_index, at_index)
    return Call("memory", "ListRecords", request, lambda reply: reply)


def count(
    session: Session, collection: str, filter: Any, min_index: Optional[int],
    at_index: Point,
) -> Call[int]:  # fmt: skip
    request = memory_service_pb2.CountRecordsRequest(
        collection=collection, filter=to_filter(filter)
    )
    set_read(session, request, min_index, at_index)
    return Call("memory", "CountRecords", request, lambda reply: int(reply.count))


def to_query(
    vector: types_pb2.Vector, k: int, filter: Any, threshold: Optional[float],
    distance_raw_max: Optional[int],
) -> memory_service_pb2.SearchQuery:  # fmt: skip
    query = memory_service_pb2.SearchQuery(vector=vector, k=unsigned(k, "k", 32), filter=filter)
    if threshold is not None and distance_raw_max is not None:
        raise errors.InvalidArgument("threshold and distance_raw_max exclude each other")
    if threshold is not None:
        if isinstance(threshold, bool) or not hasattr(threshold, "__float__"):
            raise errors.InvalidArgument("threshold: expected a number (a score)")
        query.threshold.score = float(threshold)
    if distance_raw_max is not None:
        number = distance_raw_max.__index__()
        if not -(2**63) <= number < 2**63:
            raise errors.InvalidArgument("distance_raw_max: does not fit in 64 bits")
        query.threshold.distance_raw_max = number
    return query


def search(
    session: Session, collection: str, vector: Any, k: int, filter: Any,
    threshold: Optional[float], distance_raw_max: Optional[int], parts: Selector,
    min_index: Optional[int], at_index: Point, explain: bool, receipt: bool,
) -> Call[model.SearchResult]:  # fmt: skip
    query = to_query(to_vector(vector), k, to_filter(filter), threshold, distance_raw_max)
    request = memory_service_pb2.SearchRequest(
        collection=collection, query=query, selector=parts, explain=bool(explain),
        receipt=bool(receipt),
    )
    set_read(session, request, min_index, at_index)

    def parse(reply: Any) -> model.SearchResult:
        return model.SearchResult(
            hits_result(reply.hits, parts), reply.algorithm, position_result(reply.position),
            explanation_result(reply), reply.receipt or None,
        )  # fmt: skip

    return Call("memory", "Search", request, parse)


def batch_queries(
    vectors: Any, k: int, filter: Any, threshold: Optional[float], distance_raw_max: Optional[int],
    limits: model.Limits, target_bytes: int,
) -> List[List[memory_service_pb2.SearchQuery]]:  # fmt: skip
    """Queries in groups that one request holds."""
    shared = to_filter(filter)
    groups: List[List[memory_service_pb2.SearchQuery]] = [[]]
    size = 0
    for vector in to_vectors(vectors):
        query = to_query(vector, k, shared, threshold, distance_raw_max)
        added = query.ByteSize() + 8
        if groups[-1] and (
            len(groups[-1]) >= limits.max_batch_queries or size + added > target_bytes
        ):
            groups.append([])
            size = 0
        groups[-1].append(query)
        size += added
    return groups


def batch_search(
    session: Session, collection: str, queries: List[Any], k: int, parts: Selector,
    min_index: Optional[int], at_index: Point, explain: bool, receipt: bool,
) -> Call[model.BatchSearchResult]:  # fmt: skip
    request = memory_service_pb2.BatchSearchRequest(
        collection=collection, queries=queries, selector=parts, explain=bool(explain),
        receipt=bool(receipt),
    )
    set_read(session, request, min_index, at_index)

    def parse(reply: Any) -> model.BatchSearchResult:
        results = [
            model.SearchResult(hits_result(result.hits, parts), reply.algorithm,
                               explanation=explanation_result(result),
                               receipt=result.receipt or None)
            for result in reply.results
        ]  # fmt: skip
        return model.BatchSearchResult(
            results, int(k), reply.algorithm, position_result(reply.position)
        )

    return Call("memory", "BatchSearch", request, parse)


def get_outcome(session: Session, request_id: str) -> Call[model.Outcome]:
    def parse(reply: Any) -> model.Outcome:
        error = None
        if reply.HasField("error"):
            error = errors.from_status(reply.error, address=session.address, request_id=request_id)
        return model.Outcome(
            model.OutcomeState(reply.state), position_result(reply.position), reply.oldest_index,
            write_result(reply.ok, request_id) if reply.HasField("ok") else None, error,
        )  # fmt: skip

    request = memory_service_pb2.GetOutcomeRequest(request_id=request_id)
    return Call("memory", "GetOutcome", request, parse)


def create_snapshot(session: Session) -> Call[model.Snapshot]:
    return Call("admin", "CreateSnapshot", admin_service_pb2.CreateSnapshotRequest(),
                lambda reply: snapshot_result(reply.snapshot))  # fmt: skip


def list_snapshots(session: Session) -> Call[List[model.Snapshot]]:
    return Call("admin", "ListSnapshots", admin_service_pb2.ListSnapshotsRequest(),
                lambda reply: [snapshot_result(s) for s in reply.snapshots])  # fmt: skip


def server_info(session: Session) -> Call[model.ServerInfo]:
    def parse(reply: Any) -> model.ServerInfo:
        limits = model.Limits(**{f.name: getattr(reply.limits, f.name)
                                 for f in fields(model.Limits)})  # fmt: skip
        session.limits = limits
        return model.ServerInfo(
            position_result(reply.position), reply.version, reply.rules_version, reply.log_id,
            reply.base_index, reply.log_root, limits, reply.kernel, reply.search_threads,
            reply.history_index, reply.write_poisoned, reply.checkpoint_key.verifier_key,
            reply.history_entries, reply.history_is_logged,
        )  # fmt: skip

    return Call("admin", "GetServerInfo", admin_service_pb2.GetServerInfoRequest(), parse)


# ---- results -------------------------------------------------------------------------------------


def position_result(position: Any) -> model.Position:
    return model.Position(position.log_index, position.state_index, position.state_root)


def write_result(reply: Any, request_id: str) -> model.WriteResult:
    return model.WriteResult(
        request_id, position_result(reply.position), reply.inserted_count, reply.updated_count,
        reply.deleted_count, reply.missing_count, reply.more, reply.duplicate,
    )  # fmt: skip


def collection_result(collection: Any) -> model.Collection:
    config = collection.config
    return model.Collection(
        config.name, config.dimension, model.Metric.parse(config.metric),
        config.options.description, collection.created_index, collection.record_count,
        collection.state_index, collection.records_root,
        model.ReceiptPolicy.parse(config.options.receipts), config.options.erasable,
    )  # fmt: skip


def snapshot_result(snapshot: Any) -> model.Snapshot:
    return model.Snapshot(
        snapshot.log_index, snapshot.state_root, snapshot.log_root, snapshot.snapshot_hash,
        snapshot.size_bytes, snapshot.file_name,
    )  # fmt: skip


def record_result(record: Any, parts: Selector) -> model.Record:
    return model.Record(record.id, record.version, **_parts(record, parts))


def hits_result(hits: Any, parts: Selector) -> List[model.Hit]:
    return [
        model.Hit(hit.record.id, hit.record.version, distance_raw=hit.distance_raw,
                  score=hit.score, **_parts(hit.record, parts))
        for hit in hits
    ]  # fmt: skip


def explanation_result(reply: Any) -> Optional[model.SearchExplanation]:
    """Of a SearchResponse or one result of a batch; None where it carries no explanation."""
    if not reply.HasField("explanation"):
        return None
    found = {f.name: getattr(reply.explanation, f.name) for f in fields(model.SearchExplanation)}
    found["filter_strategy"] = model.FilterStrategy(found["filter_strategy"])
    return model.SearchExplanation(**found)


def _parts(record: Any, parts: Selector) -> Dict[str, Any]:
    return {
        "vector": Q16.from_bytes(record.vector_q16) if parts.vector else None,
        "attributes": from_attributes(record.attributes) if parts.attributes else None,
        "document": record.document if parts.document else None,
    }


# ---- calls that need several requests ------------------------------------------------------------

_GET_IDS_MAX = 1000


def id_chunks(ids: Any) -> List[List[str]]:
    """Ids in groups that one GetRecords takes; at least one group. One str is one id."""
    every = [ids] if isinstance(ids, str) else list(ids)
    for row, record_id in enumerate(every):
        if not isinstance(record_id, str):
            raise errors.InvalidArgument(
                f"ids[{row}]: expected a str, got {type(record_id).__name__}"
            )
    starts = range(0, len(every), _GET_IDS_MAX)
    return [every[start : start + _GET_IDS_MAX] for start in starts] or [[]]


def halve(error: errors.ResourceExhausted, chunk: List[Any]) -> List[List[Any]]:
    """Two smaller requests in place of one whose reply is too large; raises other errors."""
    if error.reason != "RESPONSE_TOO_LARGE" or len(chunk) < 2:
        raise error
    middle = len(chunk) // 2
    return [chunk[:middle], chunk[middle:]]


def join_get(first: model.GetResult, second: model.GetResult) -> model.GetResult:
    return model.GetResult(
        first.records + second.records, first.missing_ids + second.missing_ids, first.position
    )


def join_batch(
    first: model.BatchSearchResult, second: model.BatchSearchResult
) -> model.BatchSearchResult:
    return model.BatchSearchResult(
        first.results + second.results, first.k, first.algorithm, first.position
    )
