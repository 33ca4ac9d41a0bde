"""A node for the tests of this room."""

from collections.abc import AsyncIterator, Iterator

import pytest

from backend.chain import ChainClient
from tests.chain.support import NodeProcess


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One node for the tests of a module that can share a chain."""
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@pytest.fixture
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A fresh chain for a test that kills its node or counts blocks."""
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def client(shared_node: NodeProcess) -> AsyncIterator[ChainClient]:
    """A client of the shared node."""
    async with ChainClient(shared_node.url) as client:
        yield client
