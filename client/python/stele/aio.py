"""The asyncio client: the methods of stele.Client as coroutines; see there for what they mean."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import (
    Any, AsyncIterable, AsyncIterator, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence,
    Tuple, Type, TypeVar, Union,
)  # fmt: skip

import grpc
import grpc.aio

from stele import _async_stream, _bulk, _requests, errors, model
from stele._bulk import BatchOptions
from stele._session import (
    Call, RetryPolicy, Session, TlsLike, connection_lost, make_stubs, open_channel,
)  # fmt: skip
from stele.audit import AsyncAudit
from stele.erasure import Erasing
from stele.filters import FilterLike
from stele.history import AsyncHistory, When, read_point
from stele.v1.memory_service_pb2 import WriteRequest

T = TypeVar("T")
Ids = Union[str, Sequence[str]]
DEFAULT_ADDRESS = "127.0.0.1:7420"


class AsyncClient(Erasing, AsyncHistory):
    """A connection to a Stele server for asyncio. Belongs to the event loop of its first call.

        async with stele.AsyncClient("127.0.0.1:7420") as client:
            hits = await client.search("notes", [1, 0.1, 0])

    Arguments, results and errors are those of `stele.Client`. `list` and `write_stream` are
    asynchronous iterators; cancelling a task cancels its call.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        api_key: Optional[str] = None,
        tls: TlsLike = None,
        timeout: float = 30.0,
        *,
        connect_timeout: float = 5.0,
        retry: Optional[RetryPolicy] = None,
        batch: Optional[BatchOptions] = None,
        read_your_writes: bool = True,
    ) -> None:
        self._session = Session(
            address, api_key, timeout, connect_timeout, retry or RetryPolicy(), read_your_writes
        )
        self._batch = batch or BatchOptions()
        self._tls = tls
        self._channel: Any = None
        self._known_stubs: Dict[str, Any] = {}
        self._closed = False
        self.audit = AsyncAudit(self._session, self._call, lambda: self._stub("audit"))

    async def close(self) -> None:
        """Closes the connection and cancels calls under way."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"stele.AsyncClient({self._session.address!r})"

    @property
    def last_index(self) -> int:
        """The highest log index of all replies so far; 0 before the first."""
        return self._session.last_index

    # ---- collections -----------------------------------------------------------------------------

    async def create_collection(
        self,
        name: str,
        dimension: int,
        metric: Union[str, model.Metric] = "cosine",
        description: str = "",
        *,
        receipts: Union[str, model.ReceiptPolicy] = "off",
        erasable: bool = False,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> model.Collection:
        """Creates a collection for vectors of shape [dimension]."""
        call = _requests.create_collection(
            self._session, name, dimension, metric, description, receipts, erasable, request_id
        )
        return await self._call(call, timeout)

    async def get_collection(
        self, name: str, *, min_index: Optional[int] = None, timeout: Optional[float] = None
    ) -> model.Collection:
        """The configuration, size and root of a collection. Raises NotFound."""
        return await self._call(_requests.get_collection(self._session, name, min_index), timeout)

    async def list_collections(
        self, *, min_index: Optional[int] = None, timeout: Optional[float] = None
    ) -> List[model.Collection]:
        """All collections, by name as unsigned bytes."""
        call = _requests.list_collections(self._session, min_index)
        return [
            _requests.collection_result(collection)
            async for page in self._pages(call, timeout)
            for collection in page.collections
        ]

    async def drop_collection(
        self, name: str, *, request_id: Optional[str] = None, timeout: Optional[float] = None
    ) -> int:
        """Drops a collection and returns how many records went with it. Raises NotFound."""
        return await self._call(_requests.drop_collection(self._session, name, request_id), timeout)

    # ---- writes ----------------------------------------------------------------------------------

    async def write(
        self,
        operations: Union[model.Operation, Iterable[model.Operation]],
        *,
        request_id: Optional[str] = None,
        expected_state_index: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> model.WriteResult:
        """Writes one log entry: all operations take effect, or none. Returns once it is durable."""
        request = _requests.write_request(
            self._session, operations, request_id, expected_state_index
        )
        return await self._call(_requests.write(self._session, request), timeout)

    async def upsert(
        self,
        collection: str,
        ids: Iterable[str],
        vectors: Any,
        attributes: Optional[Iterable[Any]] = None,
        documents: Optional[Iterable[Any]] = None,
        *,
        batch: Optional[BatchOptions] = None,
        timeout: Optional[float] = None,
    ) -> model.BulkResult:
        """Creates or replaces any number of records, streamed in batches."""
        operations = _bulk.record_operations(
            collection, ids, vectors, attributes, documents, insert=False
        )
        return await self._bulk(operations, batch, timeout)

    async def insert(
        self,
        collection: str,
        ids: Iterable[str],
        vectors: Any,
        attributes: Optional[Iterable[Any]] = None,
        documents: Optional[Iterable[Any]] = None,
        *,
        batch: Optional[BatchOptions] = None,
        timeout: Optional[float] = None,
    ) -> model.BulkResult:
        """Like upsert, but an id that exists raises AlreadyExists and its batch does nothing."""
        operations = _bulk.record_operations(
            collection, ids, vectors, attributes, documents, insert=True
        )
        return await self._bulk(operations, batch, timeout)

    async def update_attributes(
        self,
        collection: str,
        id: str,
        set: Optional[Mapping[str, Any]] = None,
        remove: Sequence[str] = (),
        *,
        expected_version: Optional[int] = None,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> model.WriteResult:
        """Sets and removes attributes of one record; the others stay. Raises NotFound, Aborted."""
        operation = model.UpdateAttributes(collection, id, set, remove, expected_version)
        return await self.write([operation], request_id=request_id, timeout=timeout)

    async def delete(
        self,
        collection: str,
        ids: Union[str, Iterable[str]],
        *,
        batch: Optional[BatchOptions] = None,
        timeout: Optional[float] = None,
    ) -> model.BulkResult:
        """Deletes records by id; ids that are not there are counted in missing_count."""
        return await self._bulk(_bulk.delete_operations(collection, ids), batch, timeout)

    async def delete_by_filter(
        self,
        collection: str,
        filter: FilterLike,
        limit: int = 0,
        *,
        until_done: bool = False,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> model.BulkResult:
        """Deletes matching records, lowest ids first, at most `limit` (0: the server's maximum)."""
        results: List[model.WriteResult] = []
        while not results or (until_done and results[-1].more):
            operation = model.DeleteByFilter(collection, filter, limit)
            results.append(await self.write([operation], request_id=request_id, timeout=timeout))
            request_id = None
        return model.BulkResult(tuple(results))

    def write_stream(
        self,
        requests: Union[Iterable[Any], AsyncIterable[Any]],
        *,
        batch: Optional[BatchOptions] = None,
        timeout: Optional[float] = None,
    ) -> AsyncIterator[model.WriteAck]:
        """Writes one log entry per item and yields an acknowledgement for each, in order."""

        async def source() -> AsyncIterator[Any]:
            async for item in _async_stream.iterate(requests):
                if not isinstance(item, WriteRequest):
                    item = _requests.write_request(self._session, item)
                yield item

        return self._stream(source(), batch or self._batch, timeout)

    async def get_outcome(
        self, request_id: str, *, timeout: Optional[float] = None
    ) -> model.Outcome:
        """What became of a request whose reply was lost."""
        return await self._call(_requests.get_outcome(self._session, request_id), timeout)

    # ---- reads -----------------------------------------------------------------------------------

    async def get(
        self,
        collection: str,
        ids: Ids,
        *,
        with_vector: bool = True,
        with_attributes: bool = True,
        with_document: bool = True,
        min_index: Optional[int] = None,
        at_index: Optional[int] = None, at_time: Optional[When] = None,
        timeout: Optional[float] = None,
    ) -> model.GetResult:
        """Records by id, in the order asked for; absent ones are listed in missing_ids."""
        selector = _requests.selector(with_vector, with_attributes, with_document)
        point = read_point(at_index, at_time)
        result: Optional[model.GetResult] = None
        chunks = _requests.id_chunks(ids)
        while chunks:
            chunk = chunks.pop(0)
            # All chunks describe one state: the one that the first was answered on.
            at = point if result is None else result.position.log_index
            call = _requests.get(self._session, collection, chunk, selector, min_index, at)
            try:
                part = await self._call(call, timeout)
            except errors.ResourceExhausted as error:
                chunks = _requests.halve(error, chunk) + chunks
                continue
            result = part if result is None else _requests.join_get(result, part)
        assert result is not None
        return result

    def list(
        self,
        collection: str,
        filter: Optional[FilterLike] = None,
        *,
        with_vector: bool = True,
        with_attributes: bool = True,
        with_document: bool = False,
        page_size: int = 0,
        min_index: Optional[int] = None,
        at_index: Optional[int] = None, at_time: Optional[When] = None,
        timeout: Optional[float] = None,
    ) -> AsyncIterator[model.Record]:
        """Records in order of id (as unsigned bytes), page by page, all of one state."""
        selector = _requests.selector(with_vector, with_attributes, with_document)
        call = _requests.list_records(
            self._session, collection, filter, selector, page_size, min_index,
            read_point(at_index, at_time),
        )
        return (
            _requests.record_result(record, selector)
            async for page in self._pages(call, timeout)
            for record in page.records
        )

    async def count(
        self,
        collection: str,
        filter: Optional[FilterLike] = None,
        *,
        min_index: Optional[int] = None,
        at_index: Optional[int] = None, at_time: Optional[When] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """The exact number of records, or of those that match."""
        call = _requests.count(
            self._session, collection, filter, min_index, read_point(at_index, at_time)
        )
        return await self._call(call, timeout)

    async def search(
        self,
        collection: str,
        vector: Any,
        k: int = 10,
        filter: Optional[FilterLike] = None,
        threshold: Optional[float] = None,
        *,
        distance_raw_max: Optional[int] = None,
        with_vector: bool = False,
        with_attributes: bool = False,
        with_document: bool = False,
        min_index: Optional[int] = None,
        at_index: Optional[int] = None, at_time: Optional[When] = None,
        explain: bool = False,
        receipt: bool = False,
        timeout: Optional[float] = None,
    ) -> model.SearchResult:
        """The exact k nearest records, ordered by (distance_raw, id); see Client.search."""
        selector = _requests.selector(with_vector, with_attributes, with_document)
        call = _requests.search(
            self._session, collection, vector, k, filter, threshold, distance_raw_max, selector,
            min_index, read_point(at_index, at_time), explain, receipt,
        )  # fmt: skip
        return await self._call(call, timeout)

    async def batch_search(
        self,
        collection: str,
        vectors: Any,
        k: int = 10,
        filter: Optional[FilterLike] = None,
        threshold: Optional[float] = None,
        *,
        distance_raw_max: Optional[int] = None,
        with_vector: bool = False,
        with_attributes: bool = False,
        with_document: bool = False,
        min_index: Optional[int] = None,
        at_index: Optional[int] = None, at_time: Optional[When] = None,
        explain: bool = False,
        receipt: bool = False,
        timeout: Optional[float] = None,
    ) -> model.BatchSearchResult:
        """`search` for many vectors, shape [n, d], all answered on one state."""
        selector = _requests.selector(with_vector, with_attributes, with_document)
        groups = _requests.batch_queries(
            vectors, k, filter, threshold, distance_raw_max, await self._limits(timeout),
            self._batch.bytes_max,
        )  # fmt: skip
        point = read_point(at_index, at_time)
        result: Optional[model.BatchSearchResult] = None
        while groups:
            queries = groups.pop(0)
            at = point if result is None else result.position.log_index
            call = _requests.batch_search(
                self._session, collection, queries, k, selector, min_index, at, explain, receipt
            )
            try:
                part = await self._call(call, timeout)
            except errors.ResourceExhausted as error:
                groups = _requests.halve(error, queries) + groups
                continue
            result = part if result is None else _requests.join_batch(result, part)
        assert result is not None
        return result

    # ---- operations ------------------------------------------------------------------------------

    async def create_snapshot(self, *, timeout: Optional[float] = None) -> model.Snapshot:
        """Takes a snapshot and returns once it is durable and verified; may need a long timeout."""
        return await self._call(_requests.create_snapshot(self._session), timeout)

    async def list_snapshots(self, *, timeout: Optional[float] = None) -> List[model.Snapshot]:
        """The snapshots on the server, newest first."""
        return await self._call(_requests.list_snapshots(self._session), timeout)

    async def server_info(self, *, timeout: Optional[float] = None) -> model.ServerInfo:
        """Version, log, roots and limits of the server."""
        return await self._call(_requests.server_info(self._session), timeout)

    # ---- inside ----------------------------------------------------------------------------------

    def _stub(self, service: str) -> Any:
        if self._closed:
            raise errors.Cancelled("the client was closed", address=self._session.address)
        if self._channel is None:
            # Not in the constructor, which may run before there is an event loop.
            self._channel = open_channel(grpc.aio, self._session.address, self._tls)
            self._known_stubs = make_stubs(self._channel)
        return self._known_stubs[service]

    async def _call(self, call: Call[T], timeout: Optional[float]) -> T:
        attempts = self._session.attempts(timeout)
        while True:
            method = getattr(self._stub(call.service), call.method)
            try:
                reply = await method(
                    call.request,
                    timeout=attempts.attempt_timeout(),
                    metadata=self._session.metadata,
                )
            except grpc.RpcError as error:
                failure = self._session.error(error, call.method, call.request_id)
                await asyncio.sleep(attempts.pause(failure, connection_lost(error)))
                continue
            self._session.observe(reply.position.log_index)
            return call.parse(reply)

    async def _pages(self, call: Call[Any], timeout: Optional[float]) -> AsyncIterator[Any]:
        while True:
            page = await self._call(call, timeout)
            yield page
            if not page.next_page_token:
                return
            call.request.page_token = page.next_page_token

    async def _limits(self, timeout: Optional[float]) -> model.Limits:
        if self._session.limits is None:
            try:
                await self.server_info(timeout=timeout)
            except (errors.PermissionDenied, errors.Unimplemented):
                self._session.limits = model.Limits()
        return self._session.limits or model.Limits()

    async def _bulk(
        self,
        operations: Iterator[Tuple[str, Any]],
        batch: Optional[BatchOptions],
        timeout: Optional[float],
    ) -> model.BulkResult:
        options = batch or self._batch
        await self._limits(timeout)
        state = _bulk.BulkState(_bulk.batches(self._session, operations, options))
        try:
            async for ack in self._stream(
                _async_stream.iterate(state.requests()), options, timeout
            ):
                state.collect(ack)
        except errors.Error as error:
            state.fail(error)
        return state.finish()

    def _stream(
        self, source: AsyncIterator[Any], options: BatchOptions, timeout: Optional[float]
    ) -> AsyncIterator[model.WriteAck]:
        stub = self._stub("memory")
        return _async_stream.run(stub, self._session, source, options, timeout)
