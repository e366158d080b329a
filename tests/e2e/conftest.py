"""A real server process for each test that asks for one."""

import os
import re
import signal
import subprocess
import time

import pytest
import stele


class Server:
    """One data directory and the process that serves it; may be killed and started again."""

    def __init__(self, directory, *flags):
        self.data = os.path.join(str(directory), "data dir")
        self.log = os.path.join(str(directory), "server.log")
        self.flags = flags
        self.process = None
        self.address = None
        self.root = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.environ["STELE_SERVER"], "--data-dir", self.data, "--listen",
                 self.address or "127.0.0.1:0", "--http-listen", "", *self.flags],
                stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().decode()
        match = re.search(r"listening on (\S+) log_index (\d+) state_root ([0-9a-f]{64})", line)
        if match is None:
            self.process.wait(10)
            with open(self.log, encoding="utf-8") as log:
                raise AssertionError(f"the server did not start: {line!r}\n{log.read()[-4000:]}")
        self.address, self.root = match.group(1), match.group(3)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self.process.stdout.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process.stdout.close()
        return code

    def verify(self):
        """Replays the log alone, with the server stopped; gives the output."""
        done = subprocess.run(
            [os.environ["STELE_SERVER"], "--verify", "--data-dir", self.data],
            capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client(self, **options):
        return stele.Client(self.address, **options)


@pytest.fixture
def make_server(tmp_path):
    servers = []

    def make(*flags):
        directory = tmp_path / f"server {len(servers)}"
        directory.mkdir()
        server = Server(directory, *flags).start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def server(make_server):
    return make_server()


def state_root(client):
    return client.server_info().position.state_root.hex()


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
