"""Decisions of a write stream that the blocking and the asyncio client share.

`StreamState` is told what happened (an acknowledgement, the end of a connection) and says what to
do. It does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

import grpc

from stele import _requests, errors, model
from stele._bulk import BatchOptions, Window
from stele._session import Session, connection_lost, no_room

# How long the server may take to end a stream that has nothing left to say.
FINISH_SECONDS = 1.0


@dataclass(frozen=True)
class Event:
    """A message from the server or, without one, the end of the connection (no error: with OK)."""

    reply: Any = None
    error: Any = None


class StreamState:
    """One logical stream over any number of connections."""

    def __init__(self, session: Session, options: BatchOptions, timeout: Optional[float]) -> None:
        self.session = session
        self.window = Window(options)
        self.attempts = session.attempts(timeout)
        # Of the current connection: the rejection that was the last thing it said.
        self._last_error: Optional[errors.Error] = None

    def acknowledged(self, event: Optional[Event]) -> Optional[model.WriteAck]:
        """The answer to the oldest request; None where the connection has to be replaced."""
        reply = None if event is None else event.reply
        if reply is None:
            return None
        if reply.HasField("error"):
            if reply.error.code == grpc.StatusCode.UNAVAILABLE.value[0]:
                return None
            # A failure that names no request belongs to the oldest.
            request_id = reply.request_id or self.window.next_request_id
            error = self._error(reply.error, request_id)
            if no_room(error):
                return None
            if not len(self.window):
                raise error
            self.window.acknowledge(request_id)
            self._last_error = error
            ack = model.WriteAck(request_id, error=error)
        else:
            self.window.acknowledge(reply.request_id)
            self._last_error = None
            result = _requests.write_result(reply.ok, reply.request_id)
            self.session.observe(result.position.log_index)
            ack = model.WriteAck(reply.request_id, result=result)
        self.attempts.restart()
        return ack

    def ended(self, event: Optional[Event]) -> float:
        """Seconds until the next connection; raises to give up. None: no answer came in time."""
        last, self._last_error = self._last_error, None
        if last is not None and event is not None and event.reply is None:
            # A server that ends the stream after refusing a request ended it because of that.
            if event.error is None or _same_failure(event.error, last):
                raise last
        failure, lost = self._failure(event)
        pause = self.attempts.pause(failure, lost)
        self.window.reconnect()
        return pause

    def finished(self, event: Optional[Event]) -> None:
        """Everything is acknowledged. Raises the failure that answered the last request, if any."""
        if self._last_error is None or event is None or event.error is None:
            return
        if _same_failure(event.error, self._last_error):
            raise self._last_error

    def _failure(self, event: Optional[Event]) -> Tuple[errors.Error, bool]:
        """What went wrong, and whether that was the connection."""
        request_id = self.window.next_request_id
        where: Any = {
            "method": "WriteStream", "address": self.session.address, "request_id": request_id,
        }  # fmt: skip
        if event is None:
            return errors.DeadlineExceeded("no acknowledgement came in time", **where), False
        if event.reply is not None:
            failure = self._error(event.reply.error, request_id)
            return failure, not no_room(failure)
        if event.error is None or _send_failed(event.error):
            return errors.Unavailable("the server ended the stream", **where), True
        failure = self.session.error(event.error, "WriteStream", request_id)
        return failure, connection_lost(event.error)

    def _error(self, status: Any, request_id: str) -> errors.Error:
        return errors.from_status(
            status, method="WriteStream", address=self.session.address, request_id=request_id
        )


def _same_failure(error: Any, last: errors.Error) -> bool:
    """Whether a stream ended with the failure that its last answer told."""
    return bool(error.code().name == last.code) or _send_failed(error)


def _send_failed(error: Any) -> bool:
    """Whether grpc.aio put a status of its own in place of the server's.

    It does so when a message cannot be sent because the server has just ended the stream.
    """
    internal = error.code() is grpc.StatusCode.INTERNAL
    return internal and error.details() == "Internal error from Core"
