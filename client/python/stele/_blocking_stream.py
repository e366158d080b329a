"""The write stream of the blocking client."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any, Iterable, Iterator, Optional

import grpc

from stele import errors, model
from stele._bulk import BatchOptions
from stele._session import Session
from stele._stream import FINISH_SECONDS, Event, StreamState


def run(
    stub: Any, session: Session, source: Iterator[Any], options: BatchOptions,
    timeout: Optional[float],
) -> Iterator[model.WriteAck]:  # fmt: skip
    """Sends the WriteRequests of `source`; yields their acknowledgements in order."""
    state = StreamState(session, options, timeout)
    connection: Optional[_Connection] = None
    exhausted = answered = False
    try:
        while True:
            full = exhausted or not state.window.has_room()
            # All that was answered is passed on before the source is asked again.
            if not full and not answered:
                request = next(source, None)
                if request is None:
                    exhausted = full = True
                else:
                    state.window.add(request)
                    # The time that the source took is not the server's.
                    state.attempts.restart()
            if exhausted and not len(state.window):
                if connection is not None:
                    state.finished(connection.finish())
                return
            if connection is None:
                connection = _Connection(stub, session.metadata)
            connection.send(state.window.unsent())
            event = connection.receive(state.attempts.attempt_timeout() if full else 0.0)
            answered = event is not None
            if event is None and not full:
                continue
            ack = state.acknowledged(event)
            if ack is not None:
                yield ack
                continue
            connection.close()
            connection = None
            time.sleep(state.ended(event))
    finally:
        if connection is not None:
            connection.close()


class _Connection:
    """A thread reads, so that waiting for an answer can be bounded."""

    def __init__(self, stub: Any, metadata: Any) -> None:
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[Event] = queue.SimpleQueue()
        try:
            self._call = stub.WriteStream(iter(self._outgoing.get, None), metadata=metadata)
        except ValueError as error:  # What grpcio says after close().
            raise errors.Cancelled(f"{error}; the client was closed") from error
        threading.Thread(target=self._read, name="stele-write-stream", daemon=True).start()

    def _read(self) -> None:
        try:
            for reply in self._call:
                self._incoming.put(Event(reply=reply))
            self._incoming.put(Event())
        except grpc.RpcError as error:
            self._incoming.put(Event(error=error))

    def send(self, messages: Iterable[Any]) -> None:
        for message in messages:
            self._outgoing.put(message)

    def receive(self, timeout: float) -> Optional[Event]:
        """The next event, None after `timeout` seconds (0: at once)."""
        try:
            return self._incoming.get(timeout > 0, timeout if timeout > 0 else None)
        except queue.Empty:
            return None

    def finish(self) -> Optional[Event]:
        """Ends the stream in good order after the last acknowledgement."""
        self._outgoing.put(None)
        return self.receive(FINISH_SECONDS)

    def close(self) -> None:
        """Cancels what is left of the stream."""
        self._outgoing.put(None)  # Frees the thread in which gRPC takes messages.
        self._call.cancel()
