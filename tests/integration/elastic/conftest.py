"""One Elasticsearch node for the whole run, with Vedette's templates."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from config.settings import ElasticSettings
from streams.elastic.client import open_client
from streams.elastic.templates import apply, load_resources, plan
from tests.integration.elastic.node import Node, NoNode, adapted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch


@contextlib.contextmanager
def running_node(**options: Any) -> Iterator[Node]:
    """Run a node in a directory that its unprivileged user can reach; pytest's it could not."""
    home = Path(tempfile.mkdtemp(prefix="vedette-elasticsearch-"))
    try:
        try:
            made = Node(home, **options)
            made.start()
        except NoNode as error:
            pytest.skip(str(error))
        try:
            yield made
        finally:
            made.kill()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    with running_node() as made:
        yield made


@pytest.fixture(scope="session")
def ready(node: Node) -> Node:
    """Return the node with our templates, as far as it knows their parts."""
    with open_client(elastic_settings(node)) as client:
        resources = [item._replace(body=adapted(item.body)) for item in load_resources(90)]
        apply(client, plan(client, resources))
    return node


def elastic_settings(node: Node, **changes: object) -> ElasticSettings:
    values: dict[str, object] = {"urls": (node.url,), "retention_days": 90, **changes}
    return ElasticSettings.model_validate(values)


@pytest.fixture
def namespace() -> str:
    """Return a namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def elastic(ready: Node, namespace: str) -> ElasticSettings:
    return elastic_settings(ready, namespace=namespace)


@pytest.fixture
def client(elastic: ElasticSettings) -> Iterator[Elasticsearch]:
    with open_client(elastic) as opened:
        yield opened
