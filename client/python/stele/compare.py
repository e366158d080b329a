"""Comparing states: two moments of one log, what a search would have been, and trees of states."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Optional, Tuple

from stele import _requests, errors, model
from stele._session import unsigned
from stele._vectors import to_vector
from stele.filters import FilterLike, to_filter
from stele.v1 import diff_pb2


class DiffKind(enum.IntEnum):
    """REPLACED: a collection dropped and created anew. WRITTEN: a record added or changed, the log
    begins too late to tell."""

    ADDED = 1
    REMOVED = 2
    CHANGED = 3
    REPLACED = 4
    WRITTEN = 5


class HitChange(enum.IntEnum):
    """What became of a hit from the earlier answer to the later one."""

    ENTERED = 1
    LEFT = 2
    MOVED = 3


class HitReason(enum.IntEnum):
    """Why. PUSHED_OUT, MADE_ROOM: by the records in by_ids."""

    RECORD_ADDED = 1
    RECORD_REMOVED = 2
    VECTOR_CHANGED = 3
    ATTRIBUTES_CHANGED = 4
    PUSHED_OUT = 5
    MADE_ROOM = 6
    LEFT_OUT = 7


@dataclass(frozen=True)
class CollectionDiff:
    """What became of a collection, with how many records were added, removed and changed."""

    name: str
    kind: DiffKind
    added_count: int
    removed_count: int
    changed_count: int


@dataclass(frozen=True)
class RecordDiff:
    """What became of a record. Versions are 0 and commitments empty where it was not there."""

    kind: DiffKind
    id: str
    key: bytes
    before_version: int
    after_version: int
    before_commitment: bytes
    after_commitment: bytes


@dataclass(frozen=True)
class StateDiff:
    """A page of what changed between two states; next_page_token is empty on the last one."""

    collections: Tuple[CollectionDiff, ...]
    records: Tuple[RecordDiff, ...]
    next_page_token: str
    entries_read: int
    position: model.Position


@dataclass(frozen=True)
class HitDiff:
    """A hit that is not the same in both answers. Ranks count from 1; 0: not in it."""

    id: str
    change: HitChange
    reason: HitReason
    before_rank: int
    after_rank: int
    before_distance_raw: Optional[int]
    after_distance_raw: Optional[int]
    by_ids: Tuple[str, ...]


@dataclass(frozen=True)
class SearchDiff:
    """Two answers of one search, as hits without contents, and what differs."""

    before: Tuple[model.Hit, ...]
    after: Tuple[model.Hit, ...]
    differences: Tuple[HitDiff, ...]
    before_position: model.Position
    position: model.Position


@dataclass(frozen=True)
class Counterfactual:
    """What a search answers, and what it would have answered. The last four are not of records."""

    actual: Tuple[model.Hit, ...]
    counterfactual: Tuple[model.Hit, ...]
    differences: Tuple[HitDiff, ...]
    position: model.Position
    state_root: bytes = b""
    entries_left_out: int = 0
    entries_applied: int = 0
    outcomes_changed: int = 0


@dataclass(frozen=True)
class TreeNode:
    """An inner node by its hash, or a leaf with key and value; name: of the collection or record."""

    path: bytes
    depth: int
    hash: bytes
    key: bytes
    value: bytes
    name: str


@dataclass(frozen=True)
class TreeNodes:
    """Nodes of one tree of the state at `position`."""

    exists: bool
    nodes: Tuple[TreeNode, ...]
    position: model.Position


def _hits(hits: Any) -> Tuple[model.Hit, ...]:
    return tuple(_requests.hits_result(hits, _requests.selector(False, False, False)))


def _differences(wire: Any) -> Tuple[HitDiff, ...]:
    return tuple(
        HitDiff(
            hit.id, HitChange(hit.change), HitReason(hit.reason), hit.before_rank, hit.after_rank,
            hit.before_distance_raw if hit.HasField("before_distance_raw") else None,
            hit.after_distance_raw if hit.HasField("after_distance_raw") else None,
            tuple(hit.by_ids),
        )
        for hit in wire
    )  # fmt: skip


def _query(vector: Any, k: int, filter: Any, threshold: Optional[float]) -> Any:
    return _requests.to_query(to_vector(vector), k, to_filter(filter), threshold, None)


class Comparisons:
    """The part of `client.audit` that compares states."""

    _run: Callable[..., Any]

    def diff_states(
        self, from_index: int, to_index: int, collection: str = "", *, page_size: int = 0,
        page_token: str = "", min_index: Optional[int] = None, timeout: Optional[float] = None,
    ) -> Any:  # fmt: skip
        """The StateDiff of the states after two entries: their collections, or one's records.

        Records come in order of id; page_token goes on where the page before ended. Raises
        OutOfRange, ResourceExhausted.
        """
        request = diff_pb2.DiffStatesRequest(
            from_index=unsigned(from_index, "from_index"), to_index=unsigned(to_index, "to_index"),
            collection=collection, page_size=unsigned(page_size, "page_size", 31),
            page_token=page_token,
        )  # fmt: skip

        def parse(reply: Any) -> StateDiff:
            return StateDiff(
                tuple(CollectionDiff(c.name, DiffKind(c.kind), c.added_count, c.removed_count,
                                     c.changed_count) for c in reply.collections),
                tuple(RecordDiff(DiffKind(r.kind), r.id, r.key, r.before_version, r.after_version,
                                 r.before_commitment, r.after_commitment) for r in reply.records),
                reply.next_page_token, reply.entries_read,
                _requests.position_result(reply.position),
            )  # fmt: skip

        return self._run("DiffStates", request, parse, min_index, timeout)

    def diff_search(
        self, collection: str, vector: Any, from_index: int, to_index: int, k: int = 10,
        filter: Optional[FilterLike] = None, threshold: Optional[float] = None, *,
        min_index: Optional[int] = None, timeout: Optional[float] = None,
    ) -> Any:  # fmt: skip
        """The SearchDiff of one search on two states, with a reason for each difference."""
        request = diff_pb2.DiffSearchRequest(
            collection=collection, query=_query(vector, k, filter, threshold),
            from_index=unsigned(from_index, "from_index"), to_index=unsigned(to_index, "to_index"),
        )  # fmt: skip

        def parse(reply: Any) -> SearchDiff:
            return SearchDiff(
                _hits(reply.before), _hits(reply.after), _differences(reply.differences),
                _requests.position_result(reply.before_position),
                _requests.position_result(reply.position),
            )  # fmt: skip

        return self._run("DiffSearch", request, parse, min_index, timeout)

    def search_without(
        self, collection: str, vector: Any, k: int = 10, filter: Optional[FilterLike] = None,
        threshold: Optional[float] = None, *, ids: Optional[Iterable[str]] = None,
        actor: Optional[str] = None, entries: Optional[Tuple[int, int]] = None,
        at_index: Optional[int] = None, min_index: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Any:  # fmt: skip
        """The Counterfactual of a search: without the records `ids`, or as the log would have made the
        memory without all entries of `actor`, or without the entries first..last.

        Raises OutOfRange, ResourceExhausted (the log is too long), FailedPrecondition (erased).
        """
        if sum(given is not None for given in (ids, actor, entries)) != 1:
            raise errors.InvalidArgument("give one of ids, actor and entries")
        request = diff_pb2.CounterfactualSearchRequest(
            collection=collection, query=_query(vector, k, filter, threshold)
        )
        if ids is not None:
            request.records.ids.extend([ids] if isinstance(ids, str) else ids)
            request.records.SetInParent()
        elif actor is not None:
            request.actor = actor
        elif entries is not None:
            request.entries.first_index = unsigned(entries[0], "entries[0]")
            request.entries.last_index = unsigned(entries[1], "entries[1]")
        if at_index is not None:
            request.at_index = unsigned(at_index, "at_index")

        def parse(reply: Any) -> Counterfactual:
            return Counterfactual(
                _hits(reply.actual), _hits(reply.counterfactual), _differences(reply.differences),
                _requests.position_result(reply.position), reply.state_root,
                reply.entries_left_out, reply.entries_applied, reply.outcomes_changed,
            )  # fmt: skip

        return self._run("CounterfactualSearch", request, parse, min_index, timeout)

    def tree_nodes(
        self, collection: str = "", prefix: bytes = b"", prefix_bits: int = 0, levels: int = 8, *,
        with_ids: bool = False, min_index: Optional[int] = None, timeout: Optional[float] = None,
    ) -> Any:  # fmt: skip
        """The TreeNodes of the newest state below a prefix: of a collection's records, or of the
        collections. Two states differ where their nodes do."""
        request = diff_pb2.GetTreeNodesRequest(
            collection=collection, prefix=prefix, with_ids=with_ids,
            prefix_bits=unsigned(prefix_bits, "prefix_bits", 32),
            levels=unsigned(levels, "levels", 32),
        )  # fmt: skip

        def parse(reply: Any) -> TreeNodes:
            nodes = tuple(TreeNode(n.path, n.depth, n.hash, n.key, n.value, n.name)
                          for n in reply.nodes)  # fmt: skip
            return TreeNodes(reply.exists, nodes, _requests.position_result(reply.position))

        return self._run("GetTreeNodes", request, parse, min_index, timeout)
