"""A node with TLS and security: each of our roles may do what it needs, and nothing else.

Each role is also given to an API key, made from our role descriptors and used through our own
settings. The node's store of keys needs three parts of analysis that its distribution leaves out;
`tests.integration.elastic.plugin` adds them, everything about keys and privileges is the server's.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from elasticsearch import AsyncElasticsearch, AuthorizationException, Elasticsearch

from config.errors import Fatal
from config.settings import ElasticSettings
from streams.elastic.bulk import BulkWriter, Item
from streams.elastic.client import make_client, open_client
from streams.elastic.doctor import examine
from streams.elastic.errors import AccessRefused, ElasticUnavailable
from streams.elastic.templates import apply, load_roles, plan
from tests.integration.elastic.conftest import running_node
from tests.integration.elastic.test_templates import ours

pytestmark = [pytest.mark.elastic, pytest.mark.slow]

PASSWORD = "a password for tests"
STREAM = "logs-vedette.audit-secured"
DOCUMENT = b'{"@timestamp":"2026-11-22T10:00:00Z","event":{"id":"x"}}'


def certificate() -> tuple[bytes, bytes]:
    """Return a self-signed certificate for loopback, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vedette test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), pem


def password_hash() -> str:
    """Return the password as Elasticsearch keeps it in files."""
    salt = bytes(range(32))
    derived = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, 10_000, 32)
    return "{PBKDF2}10000$" + "$".join(base64.b64encode(part).decode() for part in (salt, derived))


class Secured:
    """The node, its certificate, and a client for each role."""

    def __init__(self, node, ca_file):
        self.node, self.ca_file = node, ca_file

    def client(self, user):
        return Elasticsearch(self.node.url, **self._options(user))

    def async_client(self, user):
        return AsyncElasticsearch(self.node.url, max_retries=0, **self._options(user))

    def settings(self, **changes):
        values = {"urls": (self.node.url,), "ca_file": self.ca_file, **changes}
        return ElasticSettings.model_validate(values)

    def _options(self, user):
        return {"basic_auth": (user, PASSWORD), "ca_certs": str(self.ca_file)}


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    cert, key = certificate()
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca_file.write_bytes(cert)
    settings = {
        "xpack.security.enabled": "true",
        "xpack.security.authc.password_hashing.algorithm": "pbkdf2",
        "xpack.security.authc.api_key.enabled": "true",
        "xpack.security.authc.api_key.hashing.algorithm": "pbkdf2",
        "xpack.security.http.ssl.enabled": "true",
        "xpack.security.http.ssl.key": "node.key",
        "xpack.security.http.ssl.certificate": "node.pem",
    }
    roles = load_roles()
    users = {**{role: role for role in roles}, "admin": "superuser"}
    files = {
        "node.pem": cert,
        "node.key": key,
        "users": "".join(f"{user}:{password_hash()}\n" for user in users).encode(),
        "users_roles": "".join(f"{role}:{user}\n" for user, role in users.items()).encode(),
        "roles.yml": msgspec.yaml.encode(roles),
    }
    with running_node(settings=settings, files=files, stores_keys=True) as node:
        yield Secured(node, ca_file)


@pytest.fixture(scope="module")
def set_up(secured):
    with secured.client("setup") as client:
        apply(client, plan(client, ours()))
    return secured


async def written(client):
    async with client:
        writer = BulkWriter(client, ElasticSettings())
        return await writer.write([Item(STREAM, "1", DOCUMENT)])


async def test_a_writer_writes_a_reader_reads_and_neither_sets_up(set_up):
    assert await written(set_up.async_client("writer")) == []
    with set_up.client("admin") as admin:
        admin.indices.refresh(index=STREAM)
    with set_up.client("reader") as reader:
        assert reader.count(index=STREAM)["count"] == 1
    for user in ("writer", "reader"):
        with set_up.client(user) as client, pytest.raises(AuthorizationException):
            client.cluster.put_component_template(name="vedette-x", template={})


async def test_a_reader_may_not_write(set_up):
    with pytest.raises(AccessRefused, match="403"):
        await written(set_up.async_client("reader"))


async def test_a_writer_may_not_delete_or_change(set_up):
    await written(set_up.async_client("writer"))
    with set_up.client("admin") as admin:
        (index,) = admin.indices.get(index=STREAM)
    with set_up.client("writer") as client:
        with pytest.raises(AuthorizationException):
            client.delete(index=index, id="1")
        with pytest.raises(AuthorizationException):
            client.index(index=index, id="1", document={}, if_seq_no=0, if_primary_term=1)
        with pytest.raises(AuthorizationException):
            client.indices.delete(index=index)


async def test_a_wrong_key_is_refused(set_up):
    wrong = base64.b64encode(b"nobody:nothing").decode()
    with pytest.raises(AccessRefused, match="401"):
        await written(make_client(set_up.settings(api_key=wrong)))


async def test_a_certificate_of_somebody_else_is_refused(set_up, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(certificate()[0])
    with pytest.raises(Fatal, match="not trusted"):
        await written(make_client(set_up.settings(ca_file=other)))
    with (
        pytest.raises(ElasticUnavailable),
        open_client(set_up.settings(ca_file=None)) as client,
    ):
        client.cluster.health()


@pytest.mark.parametrize("role", ["writer", "reader", "setup"])
def test_the_doctor_finds_each_role_sufficient(set_up, role):
    with set_up.client(role) as client:
        checks = {check.name: check for check in examine(client, ours(), role)}
    assert checks["privileges"].ok, checks["privileges"].text


def test_the_doctor_names_what_a_key_lacks(set_up):
    with set_up.client("reader") as client:
        checks = {check.name: check for check in examine(client, ours(), "writer")}
    assert checks["privileges"].ok is False
    assert "create_doc on logs-vedette.*" in checks["privileges"].text


@pytest.fixture(scope="module")
def keys(set_up):
    """Return an API key for each of our roles, as `vedette elastic roles` prints them."""
    made = {}
    with set_up.client("admin") as admin:
        for role, descriptor in load_roles().items():
            answer = admin.security.create_api_key(
                name=f"vedette {role}", role_descriptors={role: descriptor}, expiration="1d"
            )
            made[role] = answer["encoded"]
    return made


async def written_by_key(secured, key):
    """Write a document and a window with a key."""
    settings = secured.settings(api_key=key)
    items = [Item(STREAM, "key", DOCUMENT), Item("metrics-vedette.window-secured", "w", DOCUMENT)]
    async with make_client(settings) as client:
        return await BulkWriter(client, settings).write(items)


async def test_a_key_of_a_writer_writes_and_does_nothing_else(set_up, keys):
    assert await written_by_key(set_up, keys["writer"]) == []
    with set_up.client("admin") as admin:
        (index,) = admin.indices.get(index=STREAM)
    refused = (
        lambda client: client.delete(index=index, id="key"),
        lambda client: client.indices.delete(index=index),
        lambda client: client.indices.put_index_template(name="x", index_patterns=["x-*"]),
        lambda client: client.create(index="logs-other-default", id="1", document={}),
        lambda client: client.security.create_api_key(name="more"),
    )
    for call in refused:
        with (
            pytest.raises(AccessRefused, match="403"),
            open_client(set_up.settings(api_key=keys["writer"])) as client,
        ):
            call(client)


async def test_a_key_of_a_reader_reads_the_trail_and_its_windows_and_writes_nothing(set_up, keys):
    await written_by_key(set_up, keys["writer"])
    with set_up.client("admin") as admin:
        admin.indices.refresh(index="*-vedette.*")
    settings = set_up.settings(api_key=keys["reader"])
    with open_client(settings) as client:
        assert client.count(index="logs-vedette.*")["count"] >= 1
        assert client.count(index="metrics-vedette.*")["count"] >= 1
        with pytest.raises(AuthorizationException):
            client.create(index=STREAM, id="x", document={"@timestamp": "2026-11-22T10:00:00Z"})
    async with make_client(settings) as client:
        with pytest.raises(AccessRefused, match="403"):
            await BulkWriter(client, settings).write([Item(STREAM, "2", DOCUMENT)])


def test_a_key_of_the_set_up_sets_up_and_reads_nothing(set_up, keys):
    with open_client(set_up.settings(api_key=keys["setup"])) as client:
        apply(client, plan(client, ours()))
        with pytest.raises(AuthorizationException):
            client.count(index=STREAM)


@pytest.mark.parametrize("role", ["writer", "reader", "setup"])
def test_the_doctor_finds_each_key_sufficient(set_up, keys, role):
    with open_client(set_up.settings(api_key=keys[role])) as client:
        checks = {check.name: check for check in examine(client, ours(), role)}
    assert checks["privileges"].ok, checks["privileges"].text


async def test_a_key_that_was_revoked_stops_the_writer(set_up, keys):
    with set_up.client("admin") as admin:
        answer = admin.security.create_api_key(
            name="short-lived", role_descriptors={"w": load_roles()["writer"]}
        )
        admin.security.invalidate_api_key(ids=[answer["id"]])
    settings = set_up.settings(api_key=answer["encoded"])
    async with make_client(settings) as client:
        with pytest.raises(AccessRefused, match="401"):
            await BulkWriter(client, settings).write([Item(STREAM, "3", DOCUMENT)])
