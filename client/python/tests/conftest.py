"""Fixtures. With STELE_ADDRESS set (and STELE_API_KEY where it needs one), tests that take `client`
run against that server; otherwise, and for tests that take `fake`, against an in-memory fake.

Every behavioural test runs twice: with the blocking client and with the asyncio client.
"""

import asyncio
import inspect
import os
import pathlib
import sys
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import stele
from fake_server import FakeServer


class Blocking:
    """An AsyncClient driven from blocking code, so that one test serves both clients."""

    def __init__(self, *args, **kwargs):
        self._loop = asyncio.new_event_loop()
        self._client = stele.AsyncClient(*args, **kwargs)

    def __getattr__(self, name):
        attribute = getattr(self._client, name)
        if not callable(attribute):
            return attribute

        def call(*args, **kwargs):
            result = attribute(*args, **kwargs)
            if inspect.isawaitable(result):
                return self._loop.run_until_complete(result)
            return self._drain(result)

        return call

    def _drain(self, items):
        while True:
            try:
                yield self._loop.run_until_complete(items.__anext__())
            except StopAsyncIteration:
                return

    def __repr__(self):
        return repr(self._client)

    def close(self):
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


KINDS = {"blocking": stele.Client, "asyncio": Blocking}


@pytest.fixture
def fake():
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture(params=list(KINDS))
def connect(request):
    """Makes clients of one kind and closes them."""
    made = []

    def make(*args, **kwargs):
        made.append(KINDS[request.param](*args, **kwargs))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(request, connect):
    """A client of the real server where there is one."""
    address = os.environ.get("STELE_ADDRESS")
    if address:
        return connect(address, api_key=os.environ.get("STELE_API_KEY") or None)
    return connect(request.getfixturevalue("fake").address)


@pytest.fixture
def name():
    """The name of a collection that is not there."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def notes(client, name):
    """A collection of dimension 3, metric L2, that is dropped afterwards."""
    client.create_collection(name, 3, "l2")
    yield name
    try:
        client.drop_collection(name)
    except stele.NotFound:
        pass
