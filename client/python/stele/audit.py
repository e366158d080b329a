"""What auditors ask for: checkpoints and proofs. docs/audit.md says what each shows.

What comes back proves nothing until somebody checks it against a key that they trust. Save `note` or `text` as
it is and check it with `stele audit verify`, or with stele_verify.py, which needs nothing but Python.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Iterable, Iterator, Optional, Tuple

import grpc

from stele._requests import new_request_id
from stele._session import Call, Session, connection_lost, unsigned
from stele.compare import Comparisons
from stele.v1 import audit_service_pb2, erasure_pb2


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement of what the log is. note: the text with its signatures; root: 32 bytes."""

    note: str
    origin: str
    tree_size: int
    root: bytes


@dataclass(frozen=True)
class InclusionProof:
    """That entry `index`, with this commit record, is in the log of the checkpoint."""

    checkpoint: Checkpoint
    index: int
    commit_record: bytes
    hashes: Tuple[bytes, ...]
    text: str


@dataclass(frozen=True)
class ConsistencyProof:
    """That the log of the checkpoint begins with the first `old_size` entries."""

    checkpoint: Checkpoint
    old_size: int
    hashes: Tuple[bytes, ...]
    text: str


@dataclass(frozen=True)
class RecordProof:
    """That a record is (`exists`) or is not in the state after entry `log_index`."""

    checkpoint: Checkpoint
    log_index: int
    state_root: bytes
    exists: bool
    text: str


@dataclass(frozen=True)
class Hold:
    """A legal hold, set by entry set_index. Without ids it covers the whole collection."""

    collection: str
    name: str
    reason: str
    ids: Tuple[str, ...]
    set_index: int


@dataclass(frozen=True)
class ErasureCertificate:
    """That what entry `index` marked was destroyed, as entry `completed_index` says."""

    index: int
    completed_index: int
    text: str


@dataclass(frozen=True)
class LogEntry:
    """One entry of the log: the bytes of docs/format.md, as they are hashed."""

    index: int
    header: bytes
    commit_record: bytes
    effects: bytes
    operations: Tuple[bytes, ...]


def _checkpoint(wire: Any) -> Checkpoint:
    return Checkpoint(wire.note, wire.origin, wire.tree_size, wire.root)


class Audit(Comparisons):
    """`client.audit`. Each method takes min_index (wait for that log index) and timeout in seconds; those of
    an AsyncClient's are awaited. Sizes count entries; 0 means the newest."""

    def __init__(self, session: Session, call: Callable[[Call[Any], Optional[float]], Any],
                 stub: Callable[[], Any]) -> None:  # fmt: skip
        self._session = session
        self._call = call
        self._stub = stub

    def _run(self, method: str, request: Any, parse: Callable[[Any], Any],
             min_index: Optional[int], timeout: Optional[float]) -> Any:  # fmt: skip
        request.min_index = self._session.min_index(min_index, None)
        return self._call(Call("audit", method, request, parse), timeout)

    def checkpoint(self, tree_size: int = 0, *, min_index: Optional[int] = None,
                   timeout: Optional[float] = None) -> Any:  # fmt: skip
        """The Checkpoint of the newest entry, or of exactly `tree_size` entries. Raises OutOfRange."""
        request = audit_service_pb2.GetCheckpointRequest(tree_size=unsigned(tree_size, "tree_size"))
        return self._run("GetCheckpoint", request, lambda reply: _checkpoint(reply.checkpoint),
                         min_index, timeout)  # fmt: skip

    def prove_entry(self, index: int, tree_size: int = 0, *, min_index: Optional[int] = None,
                    timeout: Optional[float] = None) -> Any:  # fmt: skip
        """The InclusionProof of an entry. Raises OutOfRange."""
        request = audit_service_pb2.GetLogInclusionProofRequest(
            index=unsigned(index, "index"), tree_size=unsigned(tree_size, "tree_size")
        )

        def parse(reply: Any) -> InclusionProof:
            return InclusionProof(_checkpoint(reply.checkpoint), reply.index, reply.commit_record,
                                  tuple(reply.hashes), reply.text)  # fmt: skip

        return self._run("GetLogInclusionProof", request, parse, min_index, timeout)

    def prove_consistency(self, old_size: int, new_size: int = 0, *,
                          min_index: Optional[int] = None,
                          timeout: Optional[float] = None) -> Any:  # fmt: skip
        """The ConsistencyProof from a log of `old_size` entries (at least 1). Raises OutOfRange."""
        request = audit_service_pb2.GetLogConsistencyProofRequest(
            old_size=unsigned(old_size, "old_size"), new_size=unsigned(new_size, "new_size")
        )

        def parse(reply: Any) -> ConsistencyProof:
            return ConsistencyProof(_checkpoint(reply.checkpoint), reply.old_size,
                                    tuple(reply.hashes), reply.text)  # fmt: skip

        return self._run("GetLogConsistencyProof", request, parse, min_index, timeout)

    def add_cosignatures(self, note: str, *, timeout: Optional[float] = None) -> Any:
        """Hands in a checkpoint with cosignatures of witnesses (c2sp.org/tlog-cosignature); gives the Checkpoint with
        all that the server keeps for it. Raises InvalidArgument."""
        request = audit_service_pb2.AddCosignaturesRequest(note=note)
        return self._call(Call("audit", "AddCosignatures", request, lambda reply: _checkpoint(reply.checkpoint)),
                          timeout)  # fmt: skip

    def prove_record(self, collection: str, id: str, *, commitment_only: bool = False,
                     min_index: Optional[int] = None, timeout: Optional[float] = None) -> Any:  # fmt: skip
        """The RecordProof of a record, with its content unless commitment_only, or of its absence."""
        request = audit_service_pb2.GetRecordProofRequest(
            collection=collection, id=id, commitment_only=commitment_only
        )

        def parse(reply: Any) -> RecordProof:
            return RecordProof(_checkpoint(reply.checkpoint), reply.position.log_index,
                               reply.position.state_root, reply.exists, reply.text)  # fmt: skip

        return self._run("GetRecordProof", request, parse, min_index, timeout)

    def erasure_certificate(self, index: int, *, min_index: Optional[int] = None,
                            timeout: Optional[float] = None) -> Any:  # fmt: skip
        """The ErasureCertificate of the erasure that entry `index` ordered; waits until it is complete.

        Raises NotFound (it ordered none), OutOfRange, Unavailable (not complete within the timeout).
        """
        request = erasure_pb2.GetErasureCertificateRequest(index=unsigned(index, "index"))

        def parse(reply: Any) -> ErasureCertificate:
            return ErasureCertificate(index, reply.completed_index, reply.text)

        return self._run("GetErasureCertificate", request, parse, min_index, timeout)

    def set_hold(self, collection: str, name: str, reason: str = "", ids: Iterable[str] = (), *,
                 request_id: Optional[str] = None, timeout: Optional[float] = None) -> Any:  # fmt: skip
        """Forbids to erase these records, or without ids the whole collection. Gives the log index.

        Raises AlreadyExists (a hold of this name), NotFound (no such collection).
        """
        request = erasure_pb2.SetHoldRequest(request_id=request_id or new_request_id(),
                                             known_index=self._session.last_index)  # fmt: skip
        request.hold.collection, request.hold.name, request.hold.reason = collection, name, reason
        request.hold.ids.extend([ids] if isinstance(ids, str) else ids)
        return self._call(Call("audit", "SetHold", request, lambda reply: reply.position.log_index,
                               request.request_id), timeout)  # fmt: skip

    def release_hold(self, collection: str, name: str, *, request_id: Optional[str] = None,
                     timeout: Optional[float] = None) -> Any:  # fmt: skip
        """Ends a hold. Gives the log index. Raises NotFound."""
        request = erasure_pb2.ReleaseHoldRequest(request_id=request_id or new_request_id(),
                                                 collection=collection, name=name,
                                                 known_index=self._session.last_index)  # fmt: skip
        return self._call(Call("audit", "ReleaseHold", request, lambda reply: reply.position.log_index,
                               request.request_id), timeout)  # fmt: skip

    def holds(self, collection: str = "", *, min_index: Optional[int] = None,
              timeout: Optional[float] = None) -> Any:  # fmt: skip
        """The Holds of a collection, or of all, by collection and name."""
        request = erasure_pb2.ListHoldsRequest(collection=collection)

        def parse(reply: Any) -> Tuple[Hold, ...]:
            return tuple(Hold(h.collection, h.name, h.reason, tuple(h.ids), h.set_index)
                         for h in reply.holds)  # fmt: skip

        return self._run("ListHolds", request, parse, min_index, timeout)

    def read_log(self, first: int = 0, last: Optional[int] = None, *, follow: bool = False,
                 operations: bool = True, timeout: Optional[float] = None) -> Iterator[LogEntry]:  # fmt: skip
        """Entries first..last of the log, or up to the newest one; with follow it goes on as entries are
        logged. A broken connection is replaced. timeout: seconds without any progress (follow: none).

        Raises OutOfRange, InvalidArgument. Of an AsyncClient it is an async iterator.
        """
        reader = _LogReader(self._session, first, last, follow, operations, timeout)
        while True:
            try:
                for reply in reader.open(self._stub()):
                    yield from reader.take(reply)
                return
            except grpc.RpcError as error:
                time.sleep(reader.pause(error))


class AsyncAudit(Audit):
    """`client.audit` of an AsyncClient."""

    async def read_log(self, first: int = 0, last: Optional[int] = None, *, follow: bool = False,  # type: ignore[override]
                       operations: bool = True,
                       timeout: Optional[float] = None) -> AsyncIterator[LogEntry]:  # fmt: skip
        reader = _LogReader(self._session, first, last, follow, operations, timeout)
        while True:
            try:
                async for reply in reader.open(self._stub()):
                    for entry in reader.take(reply):
                        yield entry
                return
            except grpc.RpcError as error:
                await asyncio.sleep(reader.pause(error))


class _LogReader:
    """What both kinds of clients share: the request, which moves on, and the retries."""

    def __init__(self, session: Session, first: int, last: Optional[int], follow: bool,
                 operations: bool, timeout: Optional[float]) -> None:  # fmt: skip
        self._session = session
        self._follow = follow
        self._attempts = session.attempts(timeout)
        self._request = audit_service_pb2.ReadLogRequest(
            from_index=unsigned(first, "first"), follow=follow, without_operations=not operations
        )
        if last is not None:
            self._request.to_index = unsigned(last, "last")

    def open(self, stub: Any) -> Any:
        timeout = None if self._follow else self._attempts.attempt_timeout()
        return stub.ReadLog(self._request, timeout=timeout, metadata=self._session.metadata)

    def take(self, reply: Any) -> Iterator[LogEntry]:
        for entry in reply.entries:
            self._request.from_index = entry.index + 1
            yield LogEntry(entry.index, entry.header, entry.commit_record, entry.effects,
                           tuple(entry.operations))  # fmt: skip
        self._attempts.restart()

    def pause(self, error: Any) -> float:
        failure = self._session.error(error, "ReadLog")
        return self._attempts.pause(failure, connection_lost(error))
