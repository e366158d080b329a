"""The write stream of the asyncio client."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterable, AsyncIterator, Iterable, Optional, Union

import grpc

from stele import model
from stele._bulk import BatchOptions
from stele._session import Session
from stele._stream import FINISH_SECONDS, Event, StreamState


async def run(
    stub: Any, session: Session, source: AsyncIterator[Any], options: BatchOptions,
    timeout: Optional[float],
) -> AsyncIterator[model.WriteAck]:  # fmt: skip
    """Sends the WriteRequests of `source`; yields their acknowledgements in order."""
    state = StreamState(session, options, timeout)
    connection: Optional[_Connection] = None
    exhausted = answered = False
    try:
        while True:
            full = exhausted or not state.window.has_room()
            # All that was answered is passed on before the source is asked again.
            if not full and not answered:
                request = await _next(source)
                if request is None:
                    exhausted = full = True
                else:
                    state.window.add(request)
                    # The time that the source took is not the server's.
                    state.attempts.restart()
            if exhausted and not len(state.window):
                if connection is not None:
                    state.finished(await connection.finish())
                return
            if connection is None:
                connection = _Connection(stub, session.metadata)
            connection.send(state.window.unsent())
            event = await connection.receive(state.attempts.attempt_timeout() if full else 0.0)
            answered = event is not None
            if event is None and not full:
                continue
            ack = state.acknowledged(event)
            if ack is not None:
                yield ack
                continue
            connection.close()
            connection = None
            await asyncio.sleep(state.ended(event))
    finally:
        if connection is not None:
            connection.close()


async def iterate(source: Union[Iterable[Any], AsyncIterable[Any]]) -> AsyncIterator[Any]:
    if hasattr(source, "__aiter__"):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


async def _next(source: AsyncIterator[Any]) -> Any:
    """The next item, None at the end."""
    try:
        return await source.__anext__()
    except StopAsyncIteration:
        return None


class _Connection:
    """One WriteStream call. A task reads, so that waiting for an answer can be bounded."""

    def __init__(self, stub: Any, metadata: Any) -> None:
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()
        self._incoming: asyncio.Queue[Event] = asyncio.Queue()
        self._call = stub.WriteStream(self._messages(), metadata=metadata)
        self._reader = asyncio.create_task(self._read())

    async def _messages(self) -> AsyncIterator[Any]:
        while True:
            message = await self._outgoing.get()
            if message is None:
                return
            yield message

    async def _read(self) -> None:
        try:
            async for reply in self._call:
                self._incoming.put_nowait(Event(reply=reply))
            self._incoming.put_nowait(Event())
        except asyncio.CancelledError:  # Also what grpc.aio makes of a send that failed.
            self._incoming.put_nowait(Event())
            raise
        except grpc.RpcError as error:
            self._incoming.put_nowait(Event(error=error))

    def send(self, messages: Iterable[Any]) -> None:
        for message in messages:
            self._outgoing.put_nowait(message)

    async def receive(self, timeout: float) -> Optional[Event]:
        """The next event, None after `timeout` seconds (0: after others had their turn)."""
        if timeout <= 0:
            await asyncio.sleep(0)
            return None if self._incoming.empty() else self._incoming.get_nowait()
        try:
            return await asyncio.wait_for(self._incoming.get(), timeout)
        except asyncio.TimeoutError:
            return None

    async def finish(self) -> Optional[Event]:
        """Ends the stream in good order after the last acknowledgement."""
        self._outgoing.put_nowait(None)
        return await self.receive(FINISH_SECONDS)

    def close(self) -> None:
        """Cancels what is left of the stream."""
        self._outgoing.put_nowait(None)
        self._call.cancel()
        self._reader.cancel()
