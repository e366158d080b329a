"""The blocking client."""

from __future__ import annotations

import time
from types import TracebackType
from typing import (
    Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union,
)  # fmt: skip

import grpc

from stele import _blocking_stream, _bulk, _requests, errors, model
from stele._bulk import BatchOptions
from stele._session import (
    Call, RetryPolicy, Session, TlsLike, connection_lost, make_stubs, open_channel,
)  # fmt: skip
from stele.audit import Audit
from stele.erasure import Erasing
from stele.filters import FilterLike
from stele.history import History, When, read_point
from stele.v1.memory_service_pb2 import WriteRequest

T = TypeVar("T")
Ids = Union[str, Sequence[str]]
DEFAULT_ADDRESS = "127.0.0.1:7420"


class Client(Erasing, History):
    """A connection to a Stele server. Thread-safe; make one and share it.

        with stele.Client("127.0.0.1:7420") as client:
            client.create_collection("notes", dimension=3)

    address: "host:port", port 7420 where none is given. api_key: sent with every call; use TLS
    wherever the network is not yours. tls: None for plaintext, True for TLS with the system's
    authorities, or a TlsConfig. timeout: seconds for a whole call with all of its retries; every
    method takes timeout= to override it. connect_timeout: the same, for an unreachable server
    before the first reply. read_your_writes: reads wait for the newest log index this client saw.

    Reads take min_index (wait for that entry) and at_index or at_time (the state after it, or then).
    Writes take request_id: repeated with the same one, a request takes effect once.
    Every failure is a subclass of stele.Error. Not to be used across fork().
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
        self._channel = open_channel(grpc, self._session.address, tls)
        self._stubs: Dict[str, Any] = make_stubs(self._channel)
        self.audit = Audit(self._session, self._call, lambda: self._stubs["audit"])

    def close(self) -> None:
        """Closes the connection; calls under way fail with Cancelled."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"stele.Client({self._session.address!r})"

    @property
    def last_index(self) -> int:
        """The highest log index of all replies so far; 0 before the first."""
        return self._session.last_index

    # ---- collections -----------------------------------------------------------------------------

    def create_collection(
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
        """Creates a collection for vectors of shape [dimension].

        metric: "cosine", "l2", "dot" or a Metric. receipts: "off", "signed", "logged" or a
        ReceiptPolicy: what searches leave without being asked for. erasable: what is written can
        be erased later while all proofs hold. Raises AlreadyExists, InvalidArgument.
        """
        call = _requests.create_collection(
            self._session, name, dimension, metric, description, receipts, erasable, request_id
        )
        return self._call(call, timeout)

    def get_collection(
        self, name: str, *, min_index: Optional[int] = None, timeout: Optional[float] = None
    ) -> model.Collection:
        """The configuration, size and root of a collection. Raises NotFound."""
        return self._call(_requests.get_collection(self._session, name, min_index), timeout)

    def list_collections(
        self, *, min_index: Optional[int] = None, timeout: Optional[float] = None
    ) -> List[model.Collection]:
        """All collections, by name as unsigned bytes."""
        call = _requests.list_collections(self._session, min_index)
        return [
            _requests.collection_result(collection)
            for page in self._pages(call, timeout)
            for collection in page.collections
        ]

    def drop_collection(
        self, name: str, *, request_id: Optional[str] = None, timeout: Optional[float] = None
    ) -> int:
        """Drops a collection and returns how many records went with it. Raises NotFound."""
        return self._call(_requests.drop_collection(self._session, name, request_id), timeout)

    # ---- writes ----------------------------------------------------------------------------------

    def write(
        self,
        operations: Union[model.Operation, Iterable[model.Operation]],
        *,
        request_id: Optional[str] = None,
        expected_state_index: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> model.WriteResult:
        """Writes one log entry: all operations take effect, or none. Returns once it is durable.

        expected_state_index: the newest entry that changed the state must be this one. Raises
        Aborted where a precondition does not hold, AlreadyExists, NotFound, InvalidArgument.
        """
        request = _requests.write_request(
            self._session, operations, request_id, expected_state_index
        )
        return self._call(_requests.write(self._session, request), timeout)

    def upsert(
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
        """Creates or replaces any number of records, streamed in batches.

        ids: n ids. vectors: shape [n, d] or an iterable of n vectors; float16, float32, float64 or
        integers (which mean values), or stele.Q16. attributes, documents: None or n items, each of
        which may be None. All of them may be generators: they are read as the server keeps up.
        Each batch is one log entry; an id that occurs twice is written twice, in order.

        timeout: seconds without any progress. Raises the first error; batches before it stay, and
        error.results, error.rows and error.row say what was done and what was not.
        """
        operations = _bulk.record_operations(
            collection, ids, vectors, attributes, documents, insert=False
        )
        return self._bulk(operations, batch, timeout)

    def insert(
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
        return self._bulk(operations, batch, timeout)

    def update_attributes(
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
        return self.write([operation], request_id=request_id, timeout=timeout)

    def delete(
        self,
        collection: str,
        ids: Union[str, Iterable[str]],
        *,
        batch: Optional[BatchOptions] = None,
        timeout: Optional[float] = None,
    ) -> model.BulkResult:
        """Deletes records by id; ids that are not there are counted in missing_count."""
        return self._bulk(_bulk.delete_operations(collection, ids), batch, timeout)

    def delete_by_filter(
        self,
        collection: str,
        filter: FilterLike,
        limit: int = 0,
        *,
        until_done: bool = False,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> model.BulkResult:
        """Deletes matching records, lowest ids first, at most `limit` (0: the server's maximum).

        Where some may be left, the result's `more` is true. until_done repeats until none is;
        each repetition is a log entry of its own. request_id is that of the first.
        """
        results: List[model.WriteResult] = []
        while not results or (until_done and results[-1].more):
            operation = model.DeleteByFilter(collection, filter, limit)
            results.append(self.write([operation], request_id=request_id, timeout=timeout))
            request_id = None
        return model.BulkResult(tuple(results))

    def write_stream(
        self,
        requests: Iterable[Any],
        *,
        batch: Optional[BatchOptions] = None,
        timeout: Optional[float] = None,
    ) -> Iterator[model.WriteAck]:
        """Writes one log entry per item and yields an acknowledgement for each, in order.

        requests: each a list of operations, or a stele.v1.WriteRequest with its own request_id.
        They are taken while the window (see BatchOptions) has room. A rejection that the server
        logged is an acknowledgement with `error`, and the stream goes on; any other failure is
        yielded the same way where it answers a request, and then raised. A broken connection is
        replaced, and what was not acknowledged sent again under the same request ids.

        timeout: seconds without any progress. Leaving the iterator early cancels what is on its
        way, which may or may not take effect.
        """
        source = (
            item if isinstance(item, WriteRequest) else _requests.write_request(self._session, item)
            for item in requests
        )
        return self._stream(source, batch or self._batch, timeout)

    def get_outcome(self, request_id: str, *, timeout: Optional[float] = None) -> model.Outcome:
        """What became of a request whose reply was lost."""
        return self._call(_requests.get_outcome(self._session, request_id), timeout)

    # ---- reads -----------------------------------------------------------------------------------

    def get(
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
                part = self._call(call, timeout)
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
    ) -> Iterator[model.Record]:
        """Records in order of id (as unsigned bytes), page by page, all of one state.

        page_size: records per request, 0 for the server's default. timeout: seconds per page.
        """
        selector = _requests.selector(with_vector, with_attributes, with_document)
        call = _requests.list_records(
            self._session, collection, filter, selector, page_size, min_index,
            read_point(at_index, at_time),
        )
        return (
            _requests.record_result(record, selector)
            for page in self._pages(call, timeout)
            for record in page.records
        )

    def count(
        self,
        collection: str,
        filter: Optional[FilterLike] = None,
        *,
        min_index: Optional[int] = None,
        at_index: Optional[int] = None, at_time: Optional[When] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """The exact number of records, or of those that match."""
        point = read_point(at_index, at_time)
        call = _requests.count(self._session, collection, filter, min_index, point)
        return self._call(call, timeout)

    def search(
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
        explain: bool = False, receipt: bool = False, timeout: Optional[float] = None,
    ) -> model.SearchResult:
        """The exact k nearest records, ordered by (distance_raw, id).

        vector: shape [d]. threshold: inclusive bound on the score (L2: at most; DOT, COSINE: at
        least); distance_raw_max: the same on the raw distance. Both act before k. explain: tell in
        the result's `explanation` how it was found. receipt: give in the result's `receipt` what was
        asked and answered, signed by the server; save it as it is, and check it with `stele audit
        verify` or stele_verify.py.
        Raises NotFound, InvalidArgument, OutOfRange (at_index before the kept history).
        """
        selector = _requests.selector(with_vector, with_attributes, with_document)
        call = _requests.search(
            self._session, collection, vector, k, filter, threshold, distance_raw_max, selector,
            min_index, read_point(at_index, at_time), explain, receipt,
        )  # fmt: skip
        return self._call(call, timeout)

    def batch_search(
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
        explain: bool = False, receipt: bool = False, timeout: Optional[float] = None,
    ) -> model.BatchSearchResult:
        """`search` for many vectors, shape [n, d], all answered on one state.

        The result is a sequence of n SearchResults; its ids, distance_raw and scores are arrays of
        shape [n, k]. Many queries travel in several requests.
        """
        selector = _requests.selector(with_vector, with_attributes, with_document)
        groups = _requests.batch_queries(
            vectors, k, filter, threshold, distance_raw_max, self._limits(timeout),
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
                part = self._call(call, timeout)
            except errors.ResourceExhausted as error:
                groups = _requests.halve(error, queries) + groups
                continue
            result = part if result is None else _requests.join_batch(result, part)
        assert result is not None
        return result

    # ---- operations ------------------------------------------------------------------------------

    def create_snapshot(self, *, timeout: Optional[float] = None) -> model.Snapshot:
        """Takes a snapshot and returns once it is durable and verified; may need a long timeout."""
        return self._call(_requests.create_snapshot(self._session), timeout)

    def list_snapshots(self, *, timeout: Optional[float] = None) -> List[model.Snapshot]:
        """The snapshots on the server, newest first."""
        return self._call(_requests.list_snapshots(self._session), timeout)

    def server_info(self, *, timeout: Optional[float] = None) -> model.ServerInfo:
        """Version, log, roots and limits of the server."""
        return self._call(_requests.server_info(self._session), timeout)

    # ---- inside ----------------------------------------------------------------------------------

    def _call(self, call: Call[T], timeout: Optional[float]) -> T:
        attempts = self._session.attempts(timeout)
        method = getattr(self._stubs[call.service], call.method)
        while True:
            try:
                reply = method(
                    call.request,
                    timeout=attempts.attempt_timeout(),
                    metadata=self._session.metadata,
                )
            except grpc.RpcError as error:
                failure = self._session.error(error, call.method, call.request_id)
                time.sleep(attempts.pause(failure, connection_lost(error)))
                continue
            except ValueError as error:  # What grpcio says after close().
                raise errors.Cancelled(f"{error}; the client was closed") from error
            self._session.observe(reply.position.log_index)
            return call.parse(reply)

    def _pages(self, call: Call[Any], timeout: Optional[float]) -> Iterator[Any]:
        while True:
            page = self._call(call, timeout)
            yield page
            if not page.next_page_token:
                return
            call.request.page_token = page.next_page_token

    def _limits(self, timeout: Optional[float]) -> model.Limits:
        if self._session.limits is None:
            try:
                self.server_info(timeout=timeout)
            except (errors.PermissionDenied, errors.Unimplemented):
                self._session.limits = model.Limits()
        return self._session.limits or model.Limits()

    def _bulk(
        self,
        operations: Iterator[Tuple[str, Any]],
        batch: Optional[BatchOptions],
        timeout: Optional[float],
    ) -> model.BulkResult:
        options = batch or self._batch
        self._limits(timeout)
        state = _bulk.BulkState(_bulk.batches(self._session, operations, options))
        try:
            for ack in self._stream(state.requests(), options, timeout):
                state.collect(ack)
        except errors.Error as error:
            state.fail(error)
        return state.finish()

    def _stream(
        self, source: Iterator[Any], options: BatchOptions, timeout: Optional[float]
    ) -> Iterator[model.WriteAck]:
        stub = self._stubs["memory"]
        return _blocking_stream.run(stub, self._session, source, options, timeout)
