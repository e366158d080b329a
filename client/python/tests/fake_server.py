"""A Stele server in memory, for tests of the client: real semantics where the client can see them.

It keeps no promise of durability and its roots are made up. `faults` makes it misbehave on purpose.
"""

import concurrent.futures
import hashlib
import threading
import time

import grpc
from fake_reads import Reads
from fake_semantics import Code, Rejected, Stored, decode_vector, invalid, matches

from stele.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    collection_service_pb2,
    collection_service_pb2_grpc,
    memory_service_pb2,
    memory_service_pb2_grpc,
    types_pb2,
)


class Faults:
    """What goes wrong, and for how often. Each entry is used up once."""

    def __init__(self):
        # Of unary calls, by method: (code, apply_first).
        self.unary = {}
        # Of write streams, one per connection: (acks before the end, apply one more, code or None).
        self.streams = []
        # Acknowledgements that carry this code instead of being executed.
        self.stream_refusals = []
        # The largest number of records, over all results, that a reply may hold.
        self.reply_records_max = 10**9
        # Searches explain themselves where they are asked to; an older server does not.
        self.explains = True
        # The number that stands for the strategy in explanations; 0 for the true one.
        self.filter_strategy = 0
        # A failure ends a write stream with OK instead of its own status.
        self.quiet_ends = False
        # Seconds before each reply of a method.
        self.delays = {}


class FakeServer(
    Reads,
    admin_service_pb2_grpc.AdminServiceServicer,
    collection_service_pb2_grpc.CollectionServiceServicer,
    memory_service_pb2_grpc.MemoryServiceServicer,
):
    def __init__(self, address="127.0.0.1:0", api_key=None, limits=None, credentials=None):
        self.api_key = api_key
        self.faults = Faults()
        self.calls = []  # (method, request, metadata)
        self.most_in_flight = 0
        self._lock = threading.RLock()
        self._index = self._state_index = 0
        self._collections = {}
        self._dedup = {}
        self._history = {0: {}}
        self._snapshots = []
        self.limits = admin_service_pb2.Limits(
            max_message_bytes=64 << 20, max_atomic_bytes=64 << 20, max_operations=4096,
            max_page_size=1000, default_page_size=100, max_batch_queries=1024, max_k=10000,
            max_delete_by_filter=10000, **(limits or {}),
        )  # fmt: skip
        self._server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(max_workers=16),
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
        )
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(self, self._server)
        collection_service_pb2_grpc.add_CollectionServiceServicer_to_server(self, self._server)
        memory_service_pb2_grpc.add_MemoryServiceServicer_to_server(self, self._server)
        if credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, credentials)
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def stop(self):
        self._server.stop(None).wait()

    def count_calls(self, method):
        return sum(1 for call in self.calls if call[0] == method)

    # ---- the frame of every call -----------------------------------------------------------------

    def _unary(self, method, request, context, execute):
        metadata = dict(context.invocation_metadata())
        self.calls.append((method, request, metadata))
        try:
            self._authorize(metadata)
            time.sleep(self.faults.delays.get(method, 0))
            fault = (self.faults.unary.get(method) or [None]).pop(0)
            if fault is not None and isinstance(fault[0], Rejected):
                raise fault[0]
            if fault is not None and not fault[1]:
                context.abort(fault[0], "injected")
            with self._lock:
                reply = execute()
            if fault is not None:
                context.abort(fault[0], "injected after execution")
            return reply
        except Rejected as error:
            self._abort(context, error)

    def _authorize(self, metadata):
        if self.api_key and metadata.get("authorization") != f"Bearer {self.api_key}":
            raise Rejected(Code.UNAUTHENTICATED, "API_KEY_INVALID", "no valid API key")

    @staticmethod
    def _abort(context, error):
        details = (("grpc-status-details-bin", error.status.SerializeToString()),)
        context.set_trailing_metadata(details)
        context.abort(error.code, error.status.message)

    def _position(self, index=None):
        index = self._index if index is None else index
        root = hashlib.sha256(b"state %d" % min(index, self._state_index)).digest()
        return types_pb2.Position(
            log_index=index, state_index=min(index, self._state_index), state_root=root
        )

    def _append(self, changed):
        self._index += 1
        if changed:
            self._state_index = self._index
        self._history[self._index] = {
            name: (entry[0], entry[1], dict(entry[2])) for name, entry in self._collections.items()
        }

    def _logged(self, request, execute):
        """Runs a command once per request id."""
        if not 1 <= len(request.request_id.encode()) <= 64:
            raise invalid("request_id has 1..64 bytes", "request_id")
        content = type(request)()
        content.CopyFrom(request)
        content.known_index = 0
        key = content.SerializeToString(deterministic=True)
        if request.request_id in self._dedup:
            known, reply, error = self._dedup[request.request_id]
            if known != key:
                raise Rejected(
                    Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", "another content", logged=False
                )
            if error is not None:
                raise error
            if hasattr(reply, "duplicate"):
                copy = type(reply)()
                copy.CopyFrom(reply)
                copy.duplicate = True
                return copy
            return reply
        try:
            reply = execute()
            self._append(True)
            reply.position.CopyFrom(self._position())
        except Rejected as error:
            if error.logged:
                self._append(False)
                self._dedup[request.request_id] = (key, None, error)
            raise
        self._dedup[request.request_id] = (key, reply, None)
        return reply

    def _collection(self, name, state=None, logged=False):
        state = self._collections if state is None else state
        if name not in state:
            raise Rejected(
                Code.NOT_FOUND, "COLLECTION_NOT_FOUND", f"no collection {name!r}", logged=logged
            )
        return state[name]

    def _state(self, request, context):
        """(log index, collections) that a read sees."""
        while self._index < request.min_index:
            if not context.is_active() or context.time_remaining() < 0.05:
                raise Rejected(Code.DEADLINE_EXCEEDED, "", "min_index is not there yet")
            self._lock.release()
            time.sleep(0.01)
            self._lock.acquire()
        if getattr(request, "at_index", None) is not None and request.HasField("at_index"):
            if request.at_index not in self._history:
                raise Rejected(Code.OUT_OF_RANGE, "INDEX_OUT_OF_RANGE", "no such index")
            return request.at_index, self._history[request.at_index]
        return self._index, self._collections

    # ---- collections -----------------------------------------------------------------------------

    def _describe(self, entry):
        return collection_service_pb2.Collection(
            config=entry[0], created_index=entry[1], record_count=len(entry[2]),
            state_index=self._state_index, records_root=b"\0" * 32,
        )  # fmt: skip

    def CreateCollection(self, request, context):
        def execute():
            config = request.config
            if not 1 <= config.dimension <= 32768:
                raise invalid("dimension is 1..32768", "config.dimension")
            if not config.name:
                raise invalid("a name is needed", "config.name")

            def apply():
                if config.name in self._collections:
                    raise Rejected(Code.ALREADY_EXISTS, "COLLECTION_EXISTS", "it is there")
                self._collections[config.name] = (config, self._index + 1, {})
                return collection_service_pb2.CreateCollectionResponse(
                    collection=self._describe(self._collections[config.name])
                )

            return self._logged(request, apply)

        return self._unary("CreateCollection", request, context, execute)

    def GetCollection(self, request, context):
        def execute():
            index, state = self._state(request, context)
            return collection_service_pb2.GetCollectionResponse(
                position=self._position(index),
                collection=self._describe(self._collection(request.name, state)),
            )

        return self._unary("GetCollection", request, context, execute)

    def ListCollections(self, request, context):
        def execute():
            index, state = self._state(request, context)
            names = sorted(state, key=str.encode)
            start = int(request.page_token or 0)
            size = request.page_size or self.limits.default_page_size
            page = names[start : start + size]
            more = start + size < len(names)
            return collection_service_pb2.ListCollectionsResponse(
                position=self._position(index),
                collections=[self._describe(state[name]) for name in page],
                next_page_token=str(start + size) if more else "",
            )

        return self._unary("ListCollections", request, context, execute)

    def DropCollection(self, request, context):
        def apply():
            entry = self._collection(request.name, logged=True)
            del self._collections[request.name]
            return collection_service_pb2.DropCollectionResponse(dropped_count=len(entry[2]))

        return self._unary("DropCollection", request, context, lambda: self._logged(request, apply))

    # ---- writes ----------------------------------------------------------------------------------

    def _write(self, request):
        if not 1 <= len(request.operations) <= self.limits.max_operations:
            raise invalid("1..max_operations operations", "operations")
        keys = set()
        vectors = {}
        for i, operation in enumerate(request.operations):
            kind = operation.WhichOneof("kind")
            if kind is None:
                raise invalid("an operation is missing", f"operations[{i}]")
            record = getattr(operation, kind)
            if kind != "delete_by_filter":
                if (operation.collection, record.id) in keys:
                    raise invalid("the id occurs twice", f"operations[{i}].{kind}.id")
                keys.add((operation.collection, record.id))
            if kind in ("upsert", "insert") and operation.collection in self._collections:
                config = self._collections[operation.collection][0]
                field = f"operations[{i}].{kind}.vector"
                vectors[i] = decode_vector(record.vector, config, field)
        return self._logged(request, lambda: self._apply(request, vectors))

    def _apply(self, request, vectors):
        if request.HasField("expected_state_index"):
            if request.expected_state_index != self._state_index:
                raise Rejected(
                    Code.ABORTED, "STATE_INDEX_MISMATCH", "the state moved on",
                    metadata={"current": str(self._state_index)},
                )  # fmt: skip
        reply = memory_service_pb2.WriteResponse()
        changes = []
        for i, operation in enumerate(request.operations):
            records = self._collection(operation.collection, logged=True)[2]
            self._plan(i, operation, records, vectors, reply, changes)
        for records, record_id, stored in changes:
            if stored is None:
                del records[record_id]
            else:
                records[record_id] = stored
        return reply

    def _plan(self, i, operation, records, vectors, reply, changes):
        kind = operation.WhichOneof("kind")
        target = getattr(operation, kind)
        version = self._index + 1
        if kind == "delete_by_filter":
            limit = target.limit or self.limits.max_delete_by_filter
            found = [
                r for r in sorted(records, key=str.encode)
                if matches(target.filter, records[r].attributes)
            ]  # fmt: skip
            changes += [(records, record_id, None) for record_id in found[:limit]]
            reply.deleted_count += len(found[:limit])
            reply.more = len(found) > limit
            return
        old = records.get(target.id)
        precondition = operation.precondition.WhichOneof("kind")
        current = old.version if old else 0
        if (precondition == "must_not_exist" and old) or (
            precondition == "expected_version"
            and operation.precondition.expected_version != current
        ):
            raise Rejected(
                Code.ABORTED, "VERSION_MISMATCH", "a precondition does not hold",
                f"operations[{i}].precondition", {"current_version": str(current)},
            )  # fmt: skip
        if kind == "delete_record":
            if old is None:
                reply.missing_count += 1
            else:
                reply.deleted_count += 1
                changes.append((records, target.id, None))
            return
        if kind == "update_attributes":
            if old is None:
                raise Rejected(Code.NOT_FOUND, "RECORD_NOT_FOUND", "no such record")
            attributes = {k: v for k, v in old.attributes.items() if k not in target.remove}
            attributes.update(target.set)
            stored = Stored(old.vector, attributes, old.document, version)
        else:
            if kind == "insert" and old is not None:
                raise Rejected(
                    Code.ALREADY_EXISTS, "RECORD_EXISTS", f"{target.id!r} is there",
                    f"operations[{i}].insert.id",
                )  # fmt: skip
            stored = Stored(vectors[i], dict(target.attributes), target.document, version)
        changes.append((records, target.id, stored))
        reply.inserted_count += old is None
        reply.updated_count += old is not None

    def Write(self, request, context):
        return self._unary("Write", request, context, lambda: self._write(request))

    def WriteStream(self, requests, context):
        self.calls.append(("WriteStream", None, dict(context.invocation_metadata())))
        try:
            self._authorize(dict(context.invocation_metadata()))
        except Rejected as error:
            self._abort(context, error)
        fault = self.faults.streams.pop(0) if self.faults.streams else None
        acks = 0
        for message in requests:
            request = message.write
            self.calls.append(("WriteStream.message", request, {}))
            if fault is not None and acks == fault[0]:
                if fault[1]:
                    with self._lock:
                        self._write(request)
                if fault[2] is None:
                    return
                context.abort(fault[2], "injected")
            reply = memory_service_pb2.WriteStreamResponse(request_id=request.request_id)
            if self.faults.stream_refusals:
                reply.error.CopyFrom(self.faults.stream_refusals.pop(0).status)
                yield reply
                return
            time.sleep(self.faults.delays.get("WriteStream", 0))
            try:
                with self._lock:
                    reply.ok.CopyFrom(self._write(request))
            except Rejected as error:
                reply.error.CopyFrom(error.status)
                yield reply
                if not error.logged and self.faults.quiet_ends:
                    return
                if not error.logged:
                    self._abort(context, error)
                acks += 1
                continue
            yield reply
            acks += 1

    def GetOutcome(self, request, context):
        def execute():
            reply = memory_service_pb2.GetOutcomeResponse(position=self._position())
            known = self._dedup.get(request.request_id)
            if known is None:
                reply.state = reply.STATE_NOT_SEEN
            elif known[2] is not None:
                reply.state = reply.STATE_REJECTED
                reply.error.CopyFrom(known[2].status)
            else:
                reply.state = reply.STATE_EXECUTED
                if isinstance(known[1], memory_service_pb2.WriteResponse):
                    reply.ok.CopyFrom(known[1])
            return reply

        return self._unary("GetOutcome", request, context, execute)

    # ---- operations ------------------------------------------------------------------------------

    def CreateSnapshot(self, request, context):
        def execute():
            snapshot = admin_service_pb2.Snapshot(
                log_index=self._index, state_root=self._position().state_root,
                log_root=b"\1" * 32, snapshot_hash=hashlib.sha256(b"%d" % self._index).digest(),
                size_bytes=1000, file_name=f"{self._index}.snapshot",
            )  # fmt: skip
            self._snapshots.insert(0, snapshot)
            return admin_service_pb2.CreateSnapshotResponse(
                position=self._position(), snapshot=snapshot
            )

        return self._unary("CreateSnapshot", request, context, execute)

    def ListSnapshots(self, request, context):
        return self._unary(
            "ListSnapshots", request, context,
            lambda: admin_service_pb2.ListSnapshotsResponse(
                position=self._position(), snapshots=self._snapshots
            ),
        )  # fmt: skip

    def GetServerInfo(self, request, context):
        return self._unary(
            "GetServerInfo", request, context,
            lambda: admin_service_pb2.GetServerInfoResponse(
                position=self._position(), version="0.0.0-fake", rules_version=1,
                log_id=b"\2" * 16, log_root=b"\1" * 32, limits=self.limits, kernel="scalar",
            ),
        )  # fmt: skip
