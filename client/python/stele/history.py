"""What happened to records: their history, reverts, and the states of other times."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from typing import Any, AsyncIterator, Iterator, Optional, Union

from stele import _requests, errors, model
from stele._session import Call, Session, unsigned
from stele.v1 import history_pb2
from stele.values import EPOCH, Timestamp

When = Union[datetime.datetime, Timestamp]


def micros(when: Any, where: str) -> int:
    """Microseconds since 1970 of a datetime with a timezone, or of a Timestamp."""
    if isinstance(when, Timestamp):
        number = when.micros
    elif isinstance(when, datetime.datetime):
        if when.tzinfo is None or when.utcoffset() is None:
            raise errors.InvalidArgument(
                f"{where}: the datetime has no timezone; give it one, such as datetime.timezone.utc"
            )
        number = (when - EPOCH) // datetime.timedelta(microseconds=1)
    else:
        raise errors.InvalidArgument(
            f"{where}: expected a datetime or a Timestamp, got {type(when).__name__}"
        )
    if not -(2**63) <= number < 2**63:
        raise errors.InvalidArgument(f"{where}: does not fit in 64 bits")
    return number


def read_point(at_index: Optional[int], at_time: Optional[When]) -> Union[None, int, Timestamp]:
    """Which state a read asks for."""
    if at_time is None:
        return at_index
    if at_index is not None:
        raise errors.InvalidArgument("at_index and at_time exclude each other")
    return Timestamp(micros(at_time, "at_time"))


class ChangeKind(enum.IntEnum):
    """What an entry did to a record. WRITTEN: created or replaced, the log begins too late to tell."""

    CREATED = 1
    REPLACED = 2
    WRITTEN = 3
    ATTRIBUTES_UPDATED = 4
    DELETED = 5
    DELETED_BY_FILTER = 6
    COLLECTION_DROPPED = 7
    ERASED = 8


class ContentState(enum.IntEnum):
    """NONE: nothing was asked for, or the record ended. BEFORE_LOG: this log does not hold it."""

    NONE = 1
    GIVEN = 2
    ERASED = 3
    BEFORE_LOG = 4


@dataclass(frozen=True)
class RecordChange:
    """A version of a record, or its end.

    log_index: the entry that made it, and the version. actor, request_id: who wrote it, in which
    request; time: when, by the server's clock. commitment: 32 bytes, empty where the record ended.
    record: the content that was asked for, with content_state GIVEN.
    """

    log_index: int
    kind: ChangeKind
    actor: str
    request_id: str
    time: Union[datetime.datetime, Timestamp]
    commitment: bytes
    content_state: ContentState
    record: Optional[model.Record] = None


def _time(number: int) -> Union[datetime.datetime, Timestamp]:
    try:
        return EPOCH + datetime.timedelta(microseconds=number)
    except OverflowError:
        return Timestamp(number)


def _history(
    session: Session, collection: str, id: str, parts: Any, page_size: int,
    to_index: Optional[int], min_index: Optional[int],
) -> Call[Any]:  # fmt: skip
    request = history_pb2.GetHistoryRequest(
        collection=collection, id=id, selector=parts,
        page_size=unsigned(page_size, "page_size", 31),
        min_index=session.min_index(min_index, None),
    )  # fmt: skip
    if to_index is not None:
        request.to_index = unsigned(to_index, "to_index")
    return Call("memory", "GetHistory", request, lambda reply: reply)


def _change(change: Any, parts: Any) -> RecordChange:
    return RecordChange(
        change.log_index, ChangeKind(change.kind), change.actor, change.request_id,
        _time(change.timestamp_micros), change.commitment, ContentState(change.content_state),
        _requests.record_result(change.record, parts) if change.HasField("record") else None,
    )  # fmt: skip


def _revert(
    session: Session, collection: str, id: str, to_index: int, request_id: Optional[str]
) -> Call[model.WriteResult]:
    request = history_pb2.RevertRecordRequest(
        request_id=request_id if request_id is not None else _requests.new_request_id(),
        collection=collection, id=id, to_index=unsigned(to_index, "to_index"),
        known_index=session.last_index,
    )  # fmt: skip

    def parse(reply: Any) -> model.WriteResult:
        return model.WriteResult(
            request.request_id, _requests.position_result(reply.position), reply.inserted_count,
            reply.updated_count, reply.deleted_count, reply.missing_count, False, reply.duplicate,
        )  # fmt: skip

    return Call("memory", "RevertRecord", request, parse, request.request_id)


class History:
    """The part of stele.Client that is about earlier states."""

    _session: Session

    def history(
        self, collection: str, id: str, *, with_vector: bool = False, with_attributes: bool = False,
        with_document: bool = False, to_index: Optional[int] = None, page_size: int = 0,
        min_index: Optional[int] = None, timeout: Optional[float] = None,
    ) -> Iterator[RecordChange]:  # fmt: skip
        """All versions of a record, newest first, with who wrote them; also of one that is gone.

        to_index: changes up to that entry. timeout: seconds per page. Raises OutOfRange.
        """
        parts = _requests.selector(with_vector, with_attributes, with_document)
        call = _history(self._session, collection, id, parts, page_size, to_index, min_index)
        return (
            _change(change, parts)
            for page in self._pages(call, timeout)  # type: ignore[attr-defined]
            for change in page.changes
        )

    def revert(
        self, collection: str, id: str, to_index: int, *, request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> model.WriteResult:  # fmt: skip
        """Writes a record as it was after entry to_index, or deletes it if it was not there then.

        A new log entry; what lies between stays in the log. Raises Aborted where the record is
        written at the same moment, OutOfRange, FailedPrecondition (the content is erased).
        """
        call = _revert(self._session, collection, id, to_index, request_id)
        result: model.WriteResult = self._call(call, timeout)  # type: ignore[attr-defined]
        return result


class AsyncHistory:
    """The part of stele.AsyncClient that is about earlier states."""

    _session: Session

    async def history(
        self, collection: str, id: str, *, with_vector: bool = False, with_attributes: bool = False,
        with_document: bool = False, to_index: Optional[int] = None, page_size: int = 0,
        min_index: Optional[int] = None, timeout: Optional[float] = None,
    ) -> AsyncIterator[RecordChange]:  # fmt: skip
        parts = _requests.selector(with_vector, with_attributes, with_document)
        call = _history(self._session, collection, id, parts, page_size, to_index, min_index)
        async for page in self._pages(call, timeout):  # type: ignore[attr-defined]
            for change in page.changes:
                yield _change(change, parts)

    async def revert(
        self, collection: str, id: str, to_index: int, *, request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> model.WriteResult:  # fmt: skip
        call = _revert(self._session, collection, id, to_index, request_id)
        result: model.WriteResult = await self._call(call, timeout)  # type: ignore[attr-defined]
        return result
