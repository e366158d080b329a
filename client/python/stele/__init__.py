"""Client for Stele, a deterministic vector memory database.

    import stele

    with stele.Client("127.0.0.1:7420") as client:
        client.create_collection("notes", dimension=3)
        client.upsert("notes", ["a", "b"], [[1, 0, 0], [0, 1, 0]], [{"year": 2020}, {"year": 2024}])
        for hit in client.search("notes", [1, 0.1, 0], k=5, filter=stele.field("year") >= 2020):
            print(hit.id, hit.distance_raw, hit.score)

The same memory always has the same state root, and the same question on the same memory always has
the same answer, to the bit. `stele.v1` holds the protobuf modules of the wire contract.
"""

try:
    from stele.v1 import types_pb2 as _types_pb2  # noqa: F401
except ImportError as _error:  # pragma: no cover
    if "stele.v1" not in str(_error):
        raise
    raise ImportError(
        "the protobuf modules of stele.v1 are not there; in a source tree run "
        "python3 client/python/generate.py first"
    ) from _error

from stele._bulk import BatchOptions
from stele._session import RetryPolicy, TlsConfig
from stele._version import __version__
from stele.aio import AsyncClient
from stele.arithmetic import Q16, normalize, quantize
from stele.client import Client
from stele.compare import DiffKind, HitChange, HitReason
from stele.errors import (
    Aborted, AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, Error, FailedPrecondition,
    FieldViolation, Internal, InvalidArgument, NotFound, OutOfRange, PermissionDenied,
    ResourceExhausted, Unauthenticated, Unavailable, Unimplemented, Unknown, VectorError,
)  # fmt: skip
from stele.filters import Expression, Field, field
from stele.history import ChangeKind, ContentState, RecordChange
from stele.model import (
    BatchSearchResult, BulkResult, Collection, Delete, DeleteByFilter, Erase, EraseByFilter, FilterStrategy, GetResult,
    Hit, Insert, Limits, Metric, Outcome, OutcomeState, Position, ReceiptPolicy, Record,
    SearchExplanation, SearchResult, ServerInfo, Snapshot, UpdateAttributes, Upsert, WriteAck, WriteResult,
)  # fmt: skip
from stele.values import Timestamp

__all__ = [
    "Aborted", "AlreadyExists", "AsyncClient", "BatchOptions", "BatchSearchResult",
    "BulkResult", "Cancelled", "Client", "Collection", "DataLoss", "DeadlineExceeded", "Delete",
    "DeleteByFilter", "Erase", "EraseByFilter", "Error", "Expression", "FailedPrecondition", "Field", "FieldViolation",
    "FilterStrategy", "GetResult", "Hit", "Insert", "Internal", "InvalidArgument", "Limits", "Metric", "NotFound",
    "OutOfRange", "Outcome", "OutcomeState", "PermissionDenied", "Position", "Q16", "ReceiptPolicy", "Record",
    "ResourceExhausted", "RetryPolicy", "SearchExplanation", "SearchResult", "ServerInfo", "Snapshot", "Timestamp",
    "TlsConfig", "Unauthenticated", "Unavailable", "Unimplemented", "Unknown",
    "UpdateAttributes", "Upsert", "VectorError", "WriteAck", "WriteResult", "field",
    "normalize", "quantize", "__version__",
]  # fmt: skip
__all__ += ["ChangeKind", "ContentState", "DiffKind", "HitChange", "HitReason", "RecordChange"]
