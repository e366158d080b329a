"""Many records: rows to write requests of bounded size, and the window of a write stream.

Pure: no I/O, no threads. `Window` holds what was sent and not acknowledged, so that a broken stream
can be resumed with the same requests in the same order.
"""

from __future__ import annotations

import collections
import re
from dataclasses import dataclass
from typing import Any, Deque, Iterable, Iterator, List, Optional, Set, Tuple

from stele import _requests, errors, model
from stele._session import Session
from stele._vectors import to_vectors
from stele.v1 import memory_service_pb2

# Room for the parts of a message around its operations.
_OVERHEAD_BYTES = 4096
_OPERATION_FIELD = re.compile(r"operations\[(\d+)\]")


@dataclass(frozen=True)
class BatchOptions:
    """How many records one log entry takes, and how many requests may be on their way.

    A batch is one log entry, all or nothing. It closes at bytes_max (of the request on the wire) or
    rows_max, whichever comes first, and never passes the server's limits. window: requests sent
    and not acknowledged; window_bytes bounds their total size, and so the client's memory.
    """

    bytes_max: int = 4 << 20
    rows_max: int = 256
    window: int = 8
    window_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        for name in ("bytes_max", "rows_max", "window", "window_bytes"):
            if getattr(self, name) < 1:
                raise errors.InvalidArgument(f"BatchOptions.{name}: must be at least 1")


@dataclass(frozen=True)
class Batch:
    """One request and the rows of the caller's arguments that it carries."""

    rows: range
    request: Any


def record_operations(
    collection: str, ids: Any, vectors: Any, attributes: Any, documents: Any, insert: bool
) -> Iterator[Tuple[str, Any]]:
    """(id, Operation) per row. Raises InvalidArgument where the arguments differ in length."""
    if isinstance(ids, str):
        raise errors.InvalidArgument("ids: expected a sequence of str, got one str")
    columns = {"ids": ids, "vectors": vectors, "attributes": attributes, "documents": documents}
    sizes = {n: len(c) for n, c in columns.items() if c is not None and hasattr(c, "__len__")}
    if len(set(sizes.values())) > 1:
        raise _lengths(", ".join(f"{name} has {size}" for name, size in sizes.items()))
    return _rows(collection, ids, to_vectors(vectors), attributes, documents, insert)


def _rows(
    collection: str, ids: Iterable[str], vectors: Iterator[Any], attributes: Any, documents: Any,
    insert: bool,
) -> Iterator[Tuple[str, Any]]:  # fmt: skip
    end = object()
    others = [None if c is None else iter(c) for c in (vectors, attributes, documents)]
    row = 0
    for record_id in ids:
        vector, attribute, document = (None if c is None else next(c, end) for c in others)
        if any(value is end for value in (vector, attribute, document)):
            raise _lengths(f"ids has more than {row}, another argument has {row}")
        operation = memory_service_pb2.Operation(collection=collection)
        record = operation.insert if insert else operation.upsert
        # NumPy's str_ is a str; what is no str is refused, never converted.
        _requests.fill_record(record, record_id, vector, attribute, document, f"row {row}")
        yield record.id, operation
        row += 1
    for name, column in zip(("vectors", "attributes", "documents"), others):
        if column is not None and next(column, end) is not end:
            raise _lengths(f"ids has {row}, {name} has more")


def _lengths(facts: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(f"one item per record is needed: {facts}")


def delete_operations(collection: str, ids: Iterable[str]) -> Iterator[Tuple[str, Any]]:
    """(id, Operation) per id."""
    if isinstance(ids, str):
        ids = [ids]
    for row, record_id in enumerate(ids):
        if not isinstance(record_id, str):
            raise errors.InvalidArgument(
                f"ids[{row}]: expected a str, got {type(record_id).__name__}"
            )
        operation = memory_service_pb2.Operation(collection=collection)
        operation.delete_record.id = record_id
        yield record_id, operation


def batches(
    session: Session, operations: Iterable[Tuple[str, Any]], options: BatchOptions
) -> Iterator[Batch]:
    """Groups operations into requests within the limits, in order.

    An id that occurs again starts a new batch, since a request may name an id once: the last
    occurrence wins. Raises InvalidArgument for a record that no request can carry.
    """
    limits = session.limits or model.Limits()
    hard_bytes = limits.max_message_bytes or model.Limits.max_message_bytes
    # Stored forms may be larger than the wire's; a quarter leaves room for the worst of them.
    soft_bytes = min(options.bytes_max, (limits.max_atomic_bytes or 4 * options.bytes_max) // 4)
    soft_bytes = min(soft_bytes, hard_bytes - _OVERHEAD_BYTES)
    rows_max = min(options.rows_max, limits.max_operations or model.Limits.max_operations)
    waiting: List[Any] = []
    seen: Set[str] = set()
    size, start, row = 0, 0, 0

    def close() -> Batch:
        return Batch(range(start, row), _requests.write_request(session, waiting))

    for row, (record_id, operation) in enumerate(operations):
        added = operation.ByteSize() + 6
        if added > hard_bytes - _OVERHEAD_BYTES:
            raise errors.InvalidArgument(
                f"row {row} (id {record_id!r}) takes {added} bytes; the server accepts messages of "
                f"{hard_bytes} bytes"
            )
        if waiting and (size + added > soft_bytes or len(waiting) >= rows_max or record_id in seen):
            yield close()
            waiting, seen, size, start = [], set(), 0, row
        waiting.append(operation)
        seen.add(record_id)
        size += added
    if waiting:
        row += 1
        yield close()


class Window:
    """Requests that were taken from the source and are not acknowledged, in order."""

    def __init__(self, options: BatchOptions) -> None:
        self._options = options
        self._pending: Deque[Tuple[Any, int]] = collections.deque()
        self._bytes = 0
        self._sent = 0

    def has_room(self) -> bool:
        return not self._pending or (
            len(self._pending) < self._options.window and self._bytes < self._options.window_bytes
        )

    def add(self, request: Any) -> None:
        if not isinstance(request, memory_service_pb2.WriteRequest) or not request.request_id:
            raise errors.InvalidArgument("a write stream carries WriteRequests with a request_id")
        size = request.ByteSize()
        self._pending.append((request, size))
        self._bytes += size

    def unsent(self) -> Iterator[Any]:
        """Requests to put on the current connection; counts them as sent."""
        while self._sent < len(self._pending):
            request = self._pending[self._sent][0]
            self._sent += 1
            yield memory_service_pb2.WriteStreamRequest(write=request)

    def reconnect(self) -> None:
        """Nothing has been sent on the new connection."""
        self._sent = 0

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def next_request_id(self) -> str:
        return str(self._pending[0][0].request_id) if self._pending else ""

    def acknowledge(self, request_id: str) -> None:
        """Removes the oldest request. Raises Internal where another one was acknowledged."""
        if request_id != self.next_request_id or self._sent == 0:
            raise errors.Internal(
                f"acknowledgement of {request_id!r}, expected {self.next_request_id!r}: the "
                "server breaks the order of the stream",
                method="WriteStream",
            )
        _, size = self._pending.popleft()
        self._bytes -= size
        self._sent -= 1


class BulkState:
    """Collects the acknowledgements of batches.

    At the first error, of the server or of the caller's data, nothing more is taken from the
    source; what is on its way is still awaited, so that `results` is complete.
    """

    def __init__(self, source: Iterator[Batch]) -> None:
        self._source = source
        self._rows: Deque[range] = collections.deque()
        self.results: List[model.WriteResult] = []
        self.error: Optional[Exception] = None

    def requests(self) -> Iterator[Any]:
        while self.error is None:
            try:
                batch = next(self._source, None)
            except Exception as error:
                self.error = error
                return
            if batch is None:
                return
            self._rows.append(batch.rows)
            yield batch.request

    def collect(self, ack: model.WriteAck) -> None:
        rows = self._rows.popleft()
        if ack.result is not None:
            self.results.append(ack.result)
        elif self.error is None:
            self.error = _locate(ack.error or errors.Error("empty acknowledgement"), rows)

    def fail(self, error: errors.Error) -> None:
        """The stream itself ended with `error`."""
        if self.error is None:
            self.error = _locate(error, self._rows[0]) if self._rows else error

    def finish(self) -> model.BulkResult:
        """The sum of all batches; raises the first error."""
        if self.error is not None:
            if isinstance(self.error, errors.Error):
                self.error.results = list(self.results)
            raise self.error
        return model.BulkResult(tuple(self.results))


def _locate(error: errors.Error, rows: range) -> errors.Error:
    """Translates operations[i] of the request into rows of the caller's arguments."""
    error.rows = rows
    found = _OPERATION_FIELD.match(error.field)
    if found and int(found.group(1)) < len(rows):
        error.row = rows[int(found.group(1))]
    return error
