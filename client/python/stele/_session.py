"""What the blocking and the asyncio client share: addresses, credentials, retries, session state.

No I/O happens here. `Session` is thread-safe; `Attempts` belongs to one call.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Generic, List, Optional, Tuple, TypeVar, Union

import grpc

from stele import errors
from stele._version import __version__
from stele.model import Limits
from stele.v1 import (
    admin_service_pb2_grpc, audit_service_pb2_grpc, collection_service_pb2_grpc,
    memory_service_pb2_grpc,
)  # fmt: skip

DEFAULT_PORT = 7420
T = TypeVar("T")


@dataclass(frozen=True)
class TlsConfig:
    """TLS: paths of PEM files.

    ca_file: who may sign the server's certificate, None for the system's authorities. cert_file and
    key_file: this client's own certificate, where the server asks for one. server_name: the name
    to expect in the certificate where it differs from the address.
    """

    ca_file: Optional[str] = None
    cert_file: Optional[str] = None
    key_file: Optional[str] = None
    server_name: Optional[str] = None


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed attempt is repeated; seconds. The call's timeout bounds the total.

    Repeated are attempts that failed with UNAVAILABLE or lost their connection, those for which the
    server had no room (RESOURCE_EXHAUSTED with the reason OVERLOADED or WRITES_EXHAUSTED), and
    those that took longer than attempt_timeout (None: as long as the call may take). Writes carry the same request
    id each time and take effect once. The pause grows from initial_backoff by factors of two up to
    max_backoff; each pause is a random part of at least one half of that. attempts_max: None for no
    bound, 1 for no retries.
    """

    initial_backoff: float = 0.05
    max_backoff: float = 2.0
    attempt_timeout: Optional[float] = None
    attempts_max: Optional[int] = None


@dataclass
class Call(Generic[T]):
    """One unary call: what to send and how to read the reply."""

    service: str  # "memory", "collections", "admin" or "audit"
    method: str
    request: Any
    parse: Callable[[Any], T]
    request_id: str = ""


def full_address(address: str) -> str:
    """Adds the default port where there is none."""
    if not isinstance(address, str) or not address:
        raise errors.InvalidArgument("address: expected 'host:port', e.g. '127.0.0.1:7420'")
    if "://" in address or address.startswith(("unix:", "dns:", "ipv4:", "ipv6:", "xds:")):
        return address
    host = address.rpartition("]")[2] if address.startswith("[") else address
    return address if ":" in host else f"{address}:{DEFAULT_PORT}"


def channel_options(address: str, tls: Optional[TlsConfig]) -> List[Tuple[str, Any]]:
    options: List[Tuple[str, Any]] = [
        ("grpc.primary_user_agent", f"stele-python/{__version__}"),
        # The server states and enforces the limits.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # Retries happen here, where request ids are known.
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if address.startswith(("127.", "localhost:", "[::1]:")):
        options.append(("grpc.enable_http_proxy", 0))
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def channel_credentials(tls: TlsConfig) -> Any:
    """Raises InvalidArgument, naming the file, where one cannot be read."""

    def read(path: Optional[str], what: str) -> Optional[bytes]:
        if path is None:
            return None
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise errors.InvalidArgument(f"tls.{what}: {error}") from error

    if (tls.cert_file is None) != (tls.key_file is None):
        raise errors.InvalidArgument("tls: cert_file and key_file go together")
    return grpc.ssl_channel_credentials(
        root_certificates=read(tls.ca_file, "ca_file"),
        private_key=read(tls.key_file, "key_file"),
        certificate_chain=read(tls.cert_file, "cert_file"),
    )


def connection_lost(error: Any) -> bool:
    """Whether a grpc.RpcError says that the call did not get through, not that it was refused."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return True
    if errors.status_details(error.trailing_metadata()) is not None:
        return False
    # What gRPC itself reports for streams that a dying peer or a proxy reset, and where a connection
    # goes while a call is on its way to it; a call that is cancelled here says so in other words.
    if code is grpc.StatusCode.CANCELLED and details == "CANCELLED":
        return True
    return (code is grpc.StatusCode.UNKNOWN and "Stream removed" in details) or (
        code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED) and "RST_STREAM" in details
    )


def no_room(failure: errors.Error) -> bool:
    """Whether the server says that it has no room now, and has done nothing."""
    return isinstance(failure, errors.ResourceExhausted) and failure.reason in (
        "OVERLOADED", "WRITES_EXHAUSTED",
    )  # fmt: skip


class Attempts:
    """The deadline and the pauses of one call. `connected` shortens the first contact."""

    def __init__(self, policy: RetryPolicy, timeout: float, unavailable_timeout: float) -> None:
        self._policy = policy
        self._count = 0
        self._timeout = timeout
        self._unavailable_timeout = unavailable_timeout
        self.restart()

    def restart(self) -> None:
        """Starts the clock again: there was progress."""
        self._count = 0
        self._lost: Optional[errors.Error] = None
        self._start = time.monotonic()

    def remaining(self) -> float:
        return self._timeout - (time.monotonic() - self._start)

    def attempt_timeout(self) -> float:
        """Seconds for the next attempt."""
        # gRPC takes a timeout of 0 or less as "already over", which is what it means here.
        limit = self._policy.attempt_timeout
        return max(0.0, self.remaining() if limit is None else min(limit, self.remaining()))

    def pause(self, failure: errors.Error, lost: bool) -> float:
        """Seconds to wait before the next attempt; raises to give up.

        lost: see `connection_lost`. Where the time runs out after attempts that failed otherwise,
        the last of those failures is raised: it is the cause.
        """
        self._count += 1
        busy = no_room(failure)
        late = isinstance(failure, errors.DeadlineExceeded)
        if not lost and not late and not busy:
            raise failure
        self._lost = failure if lost or busy else self._lost
        exhausted = self._policy.attempts_max is not None and (
            self._count >= self._policy.attempts_max
        )
        ceiling = min(
            self._policy.max_backoff, self._policy.initial_backoff * 2.0 ** min(self._count - 1, 30)
        )
        pause = ceiling * random.uniform(0.5, 1.0)
        budget = self.remaining()
        if lost:
            budget = min(budget, self._unavailable_timeout - (time.monotonic() - self._start))
        if exhausted or pause >= budget:
            raise self._lost or failure
        return pause


@dataclass
class Session:
    """Settings and what was learnt from replies. Thread-safe."""

    address: str
    api_key: Optional[str] = field(repr=False)
    timeout: float
    connect_timeout: float
    retry: RetryPolicy
    read_your_writes: bool
    limits: Optional[Limits] = None
    last_index: int = 0
    connected: bool = False
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.address = full_address(self.address)
        if self.api_key is not None:
            # The key itself must never show in a message.
            if not isinstance(self.api_key, str) or not self.api_key:
                raise errors.InvalidArgument("api_key: expected a non-empty str")
            if not all(" " < c <= "~" for c in self.api_key):
                raise errors.InvalidArgument("api_key: only visible ASCII characters can travel")
        positive_seconds(self.timeout, "timeout")

    @property
    def metadata(self) -> Tuple[Tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()

    def observe(self, log_index: int) -> None:
        """Notes that a reply reflected this log index."""
        with self._lock:
            self.connected = True
            self.last_index = max(self.last_index, log_index)

    def min_index(self, given: Optional[int], at_index: Any) -> int:
        """What a read sends as min_index. A read at a fixed index needs none."""
        if given is not None:
            return unsigned(given, "min_index")
        return self.last_index if self.read_your_writes and at_index is None else 0

    def attempts(self, timeout: Optional[float]) -> Attempts:
        total = self.timeout if timeout is None else positive_seconds(timeout, "timeout")
        first_contact = total if self.connected else min(total, self.connect_timeout)
        return Attempts(self.retry, total, first_contact)

    def error(self, error: Any, method: str, request_id: str = "") -> errors.Error:
        return errors.from_rpc_error(
            error, method=method, address=self.address, request_id=request_id
        )


def positive_seconds(value: Any, name: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise errors.InvalidArgument(f"{name}: expected a positive number of seconds")
    return float(value)


def unsigned(value: Any, name: str, bits: int = 64) -> int:
    """An integer in [0, 2^bits). NumPy's integers count. Raises InvalidArgument."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise errors.InvalidArgument(f"{name}: expected an integer, got {type(value).__name__}")
    number = value.__index__()
    if not 0 <= number < 1 << bits:
        raise errors.InvalidArgument(f"{name}: {number} is not in [0, 2^{bits})")
    return int(number)


def make_stubs(channel: Any) -> Any:
    """The generated stubs by the names that Call.service uses."""
    return {
        "memory": memory_service_pb2_grpc.MemoryServiceStub(channel),
        "collections": collection_service_pb2_grpc.CollectionServiceStub(channel),
        "admin": admin_service_pb2_grpc.AdminServiceStub(channel),
        "audit": audit_service_pb2_grpc.AuditServiceStub(channel),
    }


TlsLike = Union[None, bool, TlsConfig]


def open_channel(module: Any, address: str, tls: TlsLike) -> Any:
    """A channel of `module`, which is grpc or grpc.aio."""
    config = tls_config(tls)
    options = channel_options(address, config)
    if config is None:
        return module.insecure_channel(address, options=options)
    return module.secure_channel(address, channel_credentials(config), options=options)


def tls_config(tls: TlsLike) -> Optional[TlsConfig]:
    """None or False: plaintext. True: TLS with the system's authorities."""
    if tls is None or tls is False:
        return None
    if tls is True:
        return TlsConfig()
    if isinstance(tls, TlsConfig):
        return tls
    raise errors.InvalidArgument(f"tls: expected TlsConfig, True or None, got {type(tls).__name__}")
