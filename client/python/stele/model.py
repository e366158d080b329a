"""What goes in and what comes out: operations and results as dataclasses.

Results are plain data, decoded on arrival. Positions say which state a reply describes: the same
position of the same log always has the same state root.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union, overload

import numpy as np
import numpy.typing as npt

from stele.arithmetic import Q16
from stele.errors import Error, InvalidArgument
from stele.filters import FilterLike
from stele.values import AttributeValue

INT64_MAX = 2**63 - 1
S = TypeVar("S", bound=np.generic)
E = TypeVar("E", bound=enum.IntEnum)


def _member(cls: Type[E], value: Union[str, int], prefix: str, field: str) -> E:
    if isinstance(value, str):
        found = cls.__members__.get(value.upper().removeprefix(prefix))
    else:
        found = next((m for m in cls if m == value and not isinstance(value, bool)), None)
    if found is None:
        names = ", ".join(repr(member.name.lower()) for member in cls)
        raise InvalidArgument(f"{field}: {value!r} is none of {names}")
    return found


class Metric(enum.IntEnum):
    """How far two vectors are apart; see `Hit` for what each one's score means."""

    L2 = 1
    DOT = 2
    COSINE = 3

    @classmethod
    def parse(cls, value: Union[str, int, Metric]) -> Metric:
        """From a Metric, its number or its name in any case. Raises InvalidArgument."""
        return _member(cls, value, "METRIC_", "metric")


class ReceiptPolicy(enum.IntEnum):
    """Which receipts the searches of a collection leave without being asked for."""

    OFF = 0
    SIGNED = 1
    LOGGED = 2

    @classmethod
    def parse(cls, value: Union[str, int, ReceiptPolicy]) -> ReceiptPolicy:
        """From a ReceiptPolicy, its number or its name in any case. Raises InvalidArgument."""
        return _member(cls, value, "RECEIPT_POLICY_", "receipts")


# ---- operations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Upsert:
    """Creates or replaces the whole record `id`.

    vector: shape [d]. document: opaque bytes (str is encoded as UTF-8). The preconditions reject
    the whole request with Aborted: expected_version is the record's version (the log index of its
    last write), must_not_exist demands that there is no such record.
    """

    collection: str
    id: str
    vector: Any
    attributes: Optional[Mapping[str, Any]] = None
    document: Optional[Union[bytes, str]] = None
    expected_version: Optional[int] = None
    must_not_exist: bool = False


@dataclass(frozen=True)
class Insert:
    """Creates the record `id`; an existing one rejects the request with RECORD_EXISTS."""

    collection: str
    id: str
    vector: Any
    attributes: Optional[Mapping[str, Any]] = None
    document: Optional[Union[bytes, str]] = None


@dataclass(frozen=True)
class UpdateAttributes:
    """Sets and removes attributes of a record that exists; the others stay."""

    collection: str
    id: str
    set: Optional[Mapping[str, Any]] = None
    remove: Sequence[str] = ()
    expected_version: Optional[int] = None


@dataclass(frozen=True)
class Delete:
    """Deletes a record; an absent id is counted (missing_count), not refused."""

    collection: str
    id: str
    expected_version: Optional[int] = None


@dataclass(frozen=True)
class DeleteByFilter:
    """Deletes matching records, lowest ids first; must be the only operation of its request.

    limit: at most this many, 0 for the largest number that the server allows.
    """

    collection: str
    filter: FilterLike
    limit: int = 0


@dataclass(frozen=True)
class Erase:
    """Deletes a record and destroys all that was ever written of its id. In erasable collections."""

    collection: str
    id: str
    expected_version: Optional[int] = None


@dataclass(frozen=True)
class EraseByFilter:
    """Erases matching records; otherwise as DeleteByFilter."""

    collection: str
    filter: FilterLike
    limit: int = 0


Operation = Union[
    Upsert, Insert, UpdateAttributes, Delete, DeleteByFilter, Erase, EraseByFilter
]  # fmt: skip


# ---- results -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Position:
    """Where in the log a reply was made.

    log_index: newest entry that the reply reflects; state_index: newest entry up to there that
    changed the state; state_root: 32 bytes, the root hash of the whole state.
    """

    log_index: int
    state_index: int
    state_root: bytes

    def __repr__(self) -> str:
        return (
            f"Position(log_index={self.log_index}, state_index={self.state_index}, "
            f"state_root={self.state_root.hex()})"
        )


@dataclass(frozen=True)
class WriteResult:
    """What one log entry did.

    more: a delete-by-filter stopped at its limit and may have left matching records.
    duplicate: the request had been executed before, and this repeats the first reply.
    """

    request_id: str
    position: Position
    inserted_count: int = 0
    updated_count: int = 0
    deleted_count: int = 0
    missing_count: int = 0
    more: bool = False
    duplicate: bool = False


@dataclass(frozen=True)
class BulkResult:
    """What a call that needed any number of log entries did; `results` has one item per entry."""

    results: Sequence[WriteResult]

    @property
    def position(self) -> Optional[Position]:
        """The position of the last entry, None where there was nothing to write."""
        return self.results[-1].position if self.results else None

    @property
    def inserted_count(self) -> int:
        return sum(result.inserted_count for result in self.results)

    @property
    def updated_count(self) -> int:
        return sum(result.updated_count for result in self.results)

    @property
    def deleted_count(self) -> int:
        return sum(result.deleted_count for result in self.results)

    @property
    def missing_count(self) -> int:
        return sum(result.missing_count for result in self.results)

    @property
    def more(self) -> bool:
        return bool(self.results) and self.results[-1].more


@dataclass(frozen=True)
class WriteAck:
    """The answer to one request of a write stream: `result`, or the `error` that rejected it."""

    request_id: str
    result: Optional[WriteResult] = None
    error: Optional[Error] = None

    def unwrap(self) -> WriteResult:
        """The result; raises the error."""
        if self.result is None:
            raise self.error or Error("empty acknowledgement")
        return self.result


class OutcomeState(enum.IntEnum):
    EXECUTED = 1
    REJECTED = 2
    NOT_SEEN = 3


@dataclass(frozen=True)
class Outcome:
    """What became of a request; requests before `oldest_index` are forgotten."""

    state: OutcomeState
    position: Position
    oldest_index: int
    result: Optional[WriteResult] = None
    error: Optional[Error] = None


@dataclass(frozen=True)
class Collection:
    """A named set of records of one dimension and metric. records_root: 32 bytes."""

    name: str
    dimension: int
    metric: Metric
    description: str
    created_index: int
    record_count: int
    state_index: int
    records_root: bytes
    receipts: ReceiptPolicy
    erasable: bool


@dataclass(frozen=True, eq=False)
class Record:
    """A record as read; parts that were not selected are None.

    version: log index of its last write. vector: raw Q16.16, int32 of shape [d].
    """

    id: str
    version: int
    vector: Optional[Q16] = None
    attributes: Optional[Dict[str, AttributeValue]] = None
    document: Optional[bytes] = None

    @property
    def vector_float(self) -> Optional[npt.NDArray[np.float64]]:
        """The real components, exact, shape [d]."""
        return None if self.vector is None else self.vector.to_float()


@dataclass(frozen=True, eq=False)
class Hit(Record):
    """A record found by a search.

    distance_raw decides the order, smaller is nearer: squared distance in units of 2^-32 (L2,
    COSINE), minus the dot product in units of 2^-32 (DOT). score is for reading: squared distance
    (L2), cosine similarity (COSINE), dot product (DOT).
    """

    distance_raw: int = 0
    score: float = 0.0


@dataclass(frozen=True, eq=False)
class GetResult(Sequence[Record]):
    """The records that exist, in the order asked for, as a sequence; and the ids that do not."""

    records: List[Record]
    missing_ids: List[str]
    position: Position

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> List[Record]: ...
    def __getitem__(self, index: Any) -> Any:
        return self.records[index]


class FilterStrategy(enum.IntEnum):
    """How a search applied its filter; UNSPECIFIED also where the server knows more than this."""

    UNSPECIFIED = 0
    NONE = 1
    SCAN = 2
    POSTINGS = 3

    @classmethod
    def _missing_(cls, value: object) -> FilterStrategy:
        return cls.UNSPECIFIED


@dataclass(frozen=True)
class SearchExplanation:
    """How one query was answered; see the fields of stele.v1.SearchExplanation.

    It differs between servers and from one time to the next; the hits do not depend on it.
    """

    algorithm: str
    kernel: str
    search_threads: int
    rows_visible: int
    rows_scanned: int
    rows_kept_4bit: int
    rows_kept_8bit: int
    rows_filter_tested: int
    rows_computed: int
    bytes_read: int
    filter_strategy: FilterStrategy
    filter_candidates: int


@dataclass(frozen=True, eq=False)
class SearchResult(Sequence[Hit]):
    """The hits of one query as a sequence, nearest first; position is None inside a batch.

    explanation: where the search was asked with explain=True, and the server is able to.
    receipt: the signed receipt, to be saved as it is, where it was asked with receipt=True.
    """

    hits: List[Hit]
    algorithm: str = ""
    position: Optional[Position] = None
    explanation: Optional[SearchExplanation] = None
    receipt: Optional[str] = None

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> List[Hit]: ...
    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    @property
    def ids(self) -> List[str]:
        return [hit.id for hit in self.hits]


@dataclass(frozen=True, eq=False)
class BatchSearchResult(Sequence[SearchResult]):
    """One SearchResult per query, all answered on the state at `position`."""

    results: List[SearchResult]
    k: int
    algorithm: str
    position: Position

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int) -> SearchResult: ...
    @overload
    def __getitem__(self, index: slice) -> List[SearchResult]: ...
    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Hits per query, shape [n]: fewer than k where a filter or threshold left fewer."""
        return np.array([len(result) for result in self.results], dtype=np.int64)

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Ids as an object array of shape [n, k]; None beyond counts[row]."""
        array = np.full((len(self), self.k), None, dtype=object)
        return self._fill(array, "id")

    @property
    def distance_raw(self) -> npt.NDArray[np.int64]:
        """Raw distances, int64 of shape [n, k]; 2^63 - 1 beyond counts[row]."""
        array = np.full((len(self), self.k), INT64_MAX, dtype=np.int64)
        return self._fill(array, "distance_raw")

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Scores, float64 of shape [n, k]; NaN beyond counts[row]."""
        array = np.full((len(self), self.k), np.nan, dtype=np.float64)
        return self._fill(array, "score")

    def as_arrays(self) -> Tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
        """(ids, distance_raw), both of shape [n, k]."""
        return self.ids, self.distance_raw

    def _fill(self, array: npt.NDArray[S], name: str) -> npt.NDArray[S]:
        for row, result in enumerate(self.results):
            array[row, : len(result)] = [getattr(hit, name) for hit in result.hits]
        return array


@dataclass(frozen=True)
class Snapshot:
    """A hashed snapshot on the server; roots and hash are 32 bytes each."""

    log_index: int
    state_root: bytes
    log_root: bytes
    snapshot_hash: bytes
    size_bytes: int
    file_name: str


@dataclass(frozen=True)
class Limits:
    """What the server accepts in one request; see the fields of stele.v1.Limits."""

    max_message_bytes: int = 64 << 20
    max_atomic_bytes: int = 0
    max_operations: int = 4096
    max_id_bytes: int = 256
    max_dimension: int = 32768
    max_k: int = 10000
    max_page_size: int = 1000
    default_page_size: int = 100
    max_batch_queries: int = 1024
    max_attributes: int = 0
    max_attribute_name_bytes: int = 0
    max_attributes_bytes: int = 0
    max_document_bytes: int = 0
    max_filter_conditions: int = 0
    max_filter_depth: int = 0
    max_delete_by_filter: int = 0
    max_request_id_bytes: int = 64
    dedup_entries: int = 0


@dataclass(frozen=True)
class ServerInfo:
    """The server: its version, log and limits. log_id: 16 bytes, log_root: 32 bytes.

    history_index: oldest index that at_index may name. write_poisoned: a write or sync failed, and
    the server is read-only until it is restarted. checkpoint_key: the key that signs checkpoints, in
    one line as verifiers take it.
    """

    position: Position
    version: str
    rules_version: int
    log_id: bytes
    base_index: int
    log_root: bytes
    limits: Limits = field(default_factory=Limits)
    kernel: str = ""
    search_threads: int = 0
    history_index: int = 0
    write_poisoned: bool = False
    checkpoint_key: str = ""
    history_entries: int = 0
    history_is_logged: bool = False


__all__ = [
    "BatchSearchResult", "BulkResult", "Collection", "Delete", "DeleteByFilter", "FilterStrategy",
    "GetResult", "Hit", "Insert", "Limits", "Metric", "Operation", "Outcome", "OutcomeState",
    "Position", "Record", "SearchExplanation", "SearchResult", "ServerInfo", "Snapshot",
    "UpdateAttributes", "Upsert", "WriteAck", "WriteResult",
]  # fmt: skip
