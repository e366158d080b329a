"""Erasures: what both clients share. docs/audit.md, "Erasure", says what they reach."""

from __future__ import annotations

from typing import Any, Iterable, Optional, Union

from stele import model
from stele._requests import new_request_id
from stele._session import Call, unsigned
from stele.filters import FilterLike
from stele.v1 import erasure_pb2


class Erasing:
    """Methods of Client and, to be awaited, of AsyncClient."""

    write: Any
    _call: Any
    _session: Any

    def set_retention(self, history_entries: int, *, request_id: Optional[str] = None,
                      timeout: Optional[float] = None) -> Any:  # fmt: skip
        """Logs how many entries back states are to be readable (at_index). Gives the log index."""
        request = erasure_pb2.SetRetentionRequest(
            request_id=request_id or new_request_id(),
            history_entries=unsigned(history_entries, "history_entries"),
            known_index=self._session.last_index,
        )
        call = Call("admin", "SetRetention", request, lambda reply: reply.position.log_index,
                    request.request_id)  # fmt: skip
        return self._call(call, timeout)

    def erase(self, collection: str, ids: Union[str, Iterable[str]], *,
              request_id: Optional[str] = None, timeout: Optional[float] = None) -> Any:  # fmt: skip
        """Deletes records and destroys all that was ever written of these ids, in one entry.

        Also of records that were deleted before: those are counted in missing_count. When it is done,
        `audit.erasure_certificate(result.position.log_index)` says so. Raises FailedPrecondition where
        the collection was not created as erasable.
        """
        chosen = [ids] if isinstance(ids, str) else ids
        operations = [model.Erase(collection, id) for id in chosen]
        return self.write(operations, request_id=request_id, timeout=timeout)

    def erase_by_filter(self, collection: str, filter: FilterLike, limit: int = 0, *,
                        request_id: Optional[str] = None,
                        timeout: Optional[float] = None) -> Any:  # fmt: skip
        """Erases matching records, lowest ids first, at most `limit` (0: the server's maximum).

        Repeat while the result's `more` is true. The filter's literals are erased as well.
        """
        operation = model.EraseByFilter(collection, filter, limit)
        return self.write([operation], request_id=request_id, timeout=timeout)
