"""If these fail, a server that runs out of memory or disk loses something, stops reading or does not start again, or
one client can take from the others what they need."""

import os
import re
import resource
import socket
import subprocess
import zlib

import grpc
import pytest
import stele
from conftest import Server, wait_until
from stele.v1 import audit_service_pb2, audit_service_pb2_grpc

MIB = 1 << 20


def status_bytes(process, field):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return int(re.search(rf"{field}:\s+(\d+) kB", file.read()).group(1)) * 1024


def open_files(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def upsert_until_refused(client, rows_max=400_000):
    """Gives what was acknowledged, and the refusal."""
    done = 0
    for start in range(0, rows_max, 1000):
        ids = [f"r{i}" for i in range(start, start + 1000)]
        try:
            client.write([stele.Upsert("c", i, [float(start // 1000)] * 256, {"n": start}) for i in ids], timeout=3)
        except stele.ResourceExhausted as error:
            return done, error
        done += 1000
    raise AssertionError("nothing was refused")


def test_a_memory_limit_refuses_writes_and_reads_go_on(make_server):
    limit = status_bytes(make_server().process, "VmRSS") + 60 * MIB
    server = make_server("--memory-limit", str(limit))
    with server.client() as client:
        client.create_collection("c", dimension=256, metric="l2")
        done, error = upsert_until_refused(client)
        assert "memory-limit" in str(error) and error.reason == "WRITES_EXHAUSTED"
        assert done > 0 and client.count("c") == done
        assert status_bytes(server.process, "VmRSS") < limit + 64 * MIB
        assert client.search("c", [0.0] * 256, k=1)[0].id == "r0"
        # There is a way back.
        client.delete("c", ["r0"])
        client.drop_collection("c")
        client.create_snapshot()
    server.kill()
    server.flags = ()
    server.start()
    with server.client() as client:
        client.create_collection("c", dimension=2, metric="l2")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, or none where it cannot be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(place)],
                      capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                pass


def test_a_full_disk_refuses_writes_and_a_start_gives_up_the_ballast(small_disk):
    server = Server(small_disk, "--ballast-bytes", str(32 * MIB)).start()
    try:
        ballast = os.path.join(server.data, "ballast")
        assert os.path.getsize(ballast) == 32 * MIB
        with server.client() as client:
            client.create_collection("c", dimension=256, metric="l2")
            client.upsert("c", ["a", "b"], [[1.0] * 256, [2.0] * 256], documents=["text", "more"])
            fill(small_disk / "filler")
            with pytest.raises(stele.ResourceExhausted):
                client.upsert("c", ["x"], [[3.0] * 256], timeout=2)
            assert client.count("c") == 2
            root = client.server_info().position.state_root.hex()
        server.kill()
        server.start()
        assert server.root == root
        assert not os.path.exists(ballast)
        with server.client() as client:
            assert client.get("c", ["a"], with_document=True)[0].document == b"text"
            assert client.search("c", [2.0] * 256, k=1)[0].id == "b"
            with pytest.raises(stele.ResourceExhausted):
                client.upsert("c", ["x"], [[3.0] * 256], timeout=2)
            os.unlink(small_disk / "filler")
            client.upsert("c", ["x"], [[3.0] * 256])
        assert server.stop() == 0
        server.start()
        assert os.path.getsize(ballast) == 32 * MIB, "the ballast is not taken in again"
        with server.client() as client:
            assert client.count("c") == 3
        assert server.stop() == 0
        server.verify()
    finally:
        if server.process.poll() is None:
            server.kill()


# The long form: STELE_CONNECTIONS=10000.
def test_idle_connections_are_carried_and_given_back(make_server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    try:
        server = make_server()
        wanted = min(int(os.environ.get("STELE_CONNECTIONS", "1000")), hard - 500)
        with server.client() as client:
            client.create_collection("c", dimension=2, metric="l2")
            before = open_files(server.process)
            host, port = server.address.rsplit(":", 1)
            # HTTP/2's preface and an empty SETTINGS frame, and then nothing.
            preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
            idle = []
            for _ in range(wanted):
                idle.append(socket.create_connection((host, int(port)), timeout=30))
                idle[-1].sendall(preface)
            wait_until(lambda: open_files(server.process) >= before + wanted, seconds=60)
            client.upsert("c", ["a"], [[1, 2]])
            assert client.count("c") == 1
            print(f"{wanted} idle connections, {status_bytes(server.process, 'VmRSS') // MIB} MiB resident")
            for one in idle:
                one.close()
            wait_until(lambda: open_files(server.process) <= before + 10, seconds=60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_that_never_reads_costs_no_more_than_one_that_does(server):
    document = b"x" * 100_000
    with server.client() as client:
        client.create_collection("c", dimension=2, metric="l2")
        for start in range(0, 400, 100):
            client.upsert("c", [f"r{i}" for i in range(start, start + 100)], [[1, 2]] * 100, documents=[document] * 100)
        before = status_bytes(server.process, "VmHWM")
        with grpc.insecure_channel(server.address) as channel:
            stub = audit_service_pb2_grpc.AuditServiceStub(channel)
            streams = [stub.ReadLog(audit_service_pb2.ReadLogRequest(follow=True)) for _ in range(8)]
            for stream in streams:
                next(stream)  # it has begun; and nothing more is read
            # The others are served meanwhile, over and over.
            for i in range(300):
                client.upsert("c", [f"other{i}"], [[1, 2]])
                assert client.count("c") >= 400
            assert status_bytes(server.process, "VmHWM") < before + 160 * MIB, "320 MB were asked for"
            for stream in streams:
                stream.cancel()
        client.upsert("c", ["after"], [[1, 2]])


def test_an_oversized_message_is_refused(server):
    with grpc.insecure_channel(server.address, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary("/stele.v1.MemoryService/Write")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"\n" + b"\xff" * (65 * MIB), timeout=60)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    with server.client() as client:
        client.create_collection("c", dimension=2, metric="l2")


def test_a_compressed_bomb_is_refused_before_it_unfolds(server):
    before = status_bytes(server.process, "VmHWM")
    with server.client() as client:
        client.create_collection("c", dimension=2, metric="l2")
    with grpc.insecure_channel(server.address, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary("/stele.v1.MemoryService/Write")
        with pytest.raises(grpc.RpcError) as refused:
            call(bytes(768 * MIB), timeout=120, compression=grpc.Compression.Gzip)
        print(refused.value.code(), refused.value.details())
        assert refused.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED)
    assert status_bytes(server.process, "VmHWM") < before + 256 * MIB
    with server.client() as client:
        assert client.count("c") == 0


def test_the_bomb_is_one():
    assert len(zlib.compress(bytes(8 * MIB))) < 16_384
