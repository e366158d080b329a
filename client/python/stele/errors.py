"""Errors of the client, one class per gRPC status code.

Every failure of a call is an `Error`. Its message says what happened, where (method, address,
request field) and what can be done. The parts are attributes too, so that code need not parse text:
`reason` (stable, listed in docs/protocol.md), `metadata`, `field`, `violations`, `request_id`.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Type

import grpc

from stele.v1 import error_pb2

__all__ = [
    "Aborted", "AlreadyExists", "Cancelled", "DataLoss", "DeadlineExceeded", "Error",
    "FailedPrecondition", "FieldViolation", "Internal", "InvalidArgument", "NotFound", "OutOfRange",
    "PermissionDenied", "ResourceExhausted", "Unauthenticated", "Unavailable", "Unimplemented",
    "Unknown", "VectorError",
]  # fmt: skip

DETAILS_KEY = "grpc-status-details-bin"


class FieldViolation(NamedTuple):
    """One refused field, e.g. ("operations[3].upsert.vector", "component 7 is NaN")."""

    field: str
    description: str


class Error(Exception):
    """A call that failed.

    reason: stable name of the cause, e.g. "RECORD_EXISTS"; "" where the server gave none.
    metadata: further facts by name, e.g. the current version after a failed precondition.
    violations: refused request fields; `field` is the first one's path.
    method: name of the RPC; address: the server; request_id: of the write that failed.
    After a call for many records: rows, those of the batch that failed; row, the one at fault where
    the server named it; results, what other batches did (they are durable).
    """

    code: str = "UNKNOWN"
    # What the reader can do, where the code alone tells.
    hint: str = ""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Optional[Mapping[str, str]] = None,
        violations: Sequence[FieldViolation] = (),
        method: str = "",
        address: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata: Dict[str, str] = dict(metadata or {})
        self.violations: List[FieldViolation] = list(violations)
        self.method = method
        self.address = address
        self.request_id = request_id
        self.rows: Optional[range] = None
        self.row: Optional[int] = None
        self.results: List[Any] = []

    @property
    def field(self) -> str:
        """Path of the first refused field in the request, or ""."""
        return self.violations[0].field if self.violations else ""

    def __str__(self) -> str:
        text = self.code + (f" ({self.reason})" if self.reason else "") + f": {self.message}"
        for violation in self.violations:
            # Servers often repeat the first violation as the message.
            known = violation.description and violation.description in self.message
            text += f"; field {violation.field}"
            text += f": {violation.description}" if violation.description and not known else ""
        if self.metadata:
            text += "; " + ", ".join(f"{k}={v}" for k, v in sorted(self.metadata.items()))
        if self.rows is not None:
            text += f"; rows {self.rows.start}..{self.rows.stop - 1}"
            text += f", row {self.row}" if self.row is not None else ""
        where = " at ".join(part for part in (self.method, self.address) if part)
        if where:
            text += f" [{where}]"
        if self.hint:
            text += f". {self.hint}"
        return text


class Cancelled(Error):
    code = "CANCELLED"


class Unknown(Error):
    code = "UNKNOWN"


class InvalidArgument(Error, ValueError):
    """The request is wrong whatever the state; also raised by the client before it sends."""

    code = "INVALID_ARGUMENT"


class VectorError(InvalidArgument):
    """A vector that the arithmetic contract refuses, found by the client.

    row: its index in the array, None for a single vector; component: the index inside the vector,
    None where the vector as a whole is refused (its norm, or a vector that rounds to zero).
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        row: Optional[int] = None,
        component: Optional[int] = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.row: Optional[int] = row
        self.component = component


class DeadlineExceeded(Error, TimeoutError):
    """The time ran out. A write may still have happened: ask with get_outcome(request_id)."""

    code = "DEADLINE_EXCEEDED"
    hint = (
        "Give a longer timeout=; a write may have taken effect: repeat it with the same "
        "request_id or ask get_outcome(error.request_id)"
    )


class NotFound(Error, LookupError):
    code = "NOT_FOUND"


class AlreadyExists(Error):
    code = "ALREADY_EXISTS"


class PermissionDenied(Error):
    code = "PERMISSION_DENIED"
    hint = "The API key does not allow this method"


class ResourceExhausted(Error):
    code = "RESOURCE_EXHAUSTED"


class FailedPrecondition(Error):
    code = "FAILED_PRECONDITION"


class Aborted(Error):
    """A precondition did not hold: read the current state and decide again."""

    code = "ABORTED"


class OutOfRange(Error):
    code = "OUT_OF_RANGE"


class Unimplemented(Error):
    code = "UNIMPLEMENTED"
    hint = "The server is older than this client, or the address is not a Stele server"


class Internal(Error):
    code = "INTERNAL"


class Unavailable(Error):
    code = "UNAVAILABLE"
    hint = "Is the server running and reachable there, and does it expect TLS or plaintext?"


class DataLoss(Error):
    """The server found stored bytes that are not the ones it wrote; it does not serve them."""

    code = "DATA_LOSS"


class Unauthenticated(Error):
    code = "UNAUTHENTICATED"
    hint = "Give a valid api_key="


_CLASSES: Dict[str, Type[Error]] = {
    cls.code: cls
    for cls in (
        Cancelled, Unknown, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists,
        PermissionDenied, ResourceExhausted, FailedPrecondition, Aborted, OutOfRange,
        Unimplemented, Internal, Unavailable, DataLoss, Unauthenticated,
    )
}  # fmt: skip
_NAME_BY_NUMBER: Dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}


def from_status(status: Any, *, method: str = "", address: str = "", request_id: str = "") -> Error:
    """The error that a stele.v1.Status (wire-compatible with google.rpc.Status) describes."""
    reason, metadata, violations = "", {}, []
    for detail in status.details:
        kind = detail.type_url.rpartition("/")[2]
        try:
            if kind == "google.rpc.ErrorInfo":
                info = error_pb2.ErrorInfo.FromString(detail.value)
                reason, metadata = info.reason, dict(info.metadata)
            elif kind == "google.rpc.BadRequest":
                violations += [
                    FieldViolation(v.field, v.description)
                    for v in error_pb2.BadRequest.FromString(detail.value).field_violations
                ]
        except Exception:  # A detail that does not parse must not hide the error itself.
            continue
    cls = _CLASSES.get(_NAME_BY_NUMBER.get(status.code, "UNKNOWN"), Unknown)
    return cls(
        status.message or "the server gave no explanation", reason=reason, metadata=metadata,
        violations=violations, method=method, address=address, request_id=request_id,
    )  # fmt: skip


def from_rpc_error(
    error: Any, *, method: str = "", address: str = "", request_id: str = ""
) -> Error:
    """The error for a grpc.RpcError (grpc.Call or grpc.aio.AioRpcError)."""
    status = error_pb2.Status(code=error.code().value[0], message=error.details() or "")
    details = status_details(error.trailing_metadata())
    # A proxy may rewrite the status; details count only where they describe the same one.
    if details is not None and details.code == status.code:
        status.details.extend(details.details)
        status.message = status.message or details.message
    return from_status(status, method=method, address=address, request_id=request_id)


def status_details(metadata: Optional[Iterable[Any]]) -> Optional[Any]:
    """The stele.v1.Status in trailing metadata, or None where there is none."""
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return error_pb2.Status.FromString(value)
            except Exception:
                return None
    return None
