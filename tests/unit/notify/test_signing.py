"""Standard Webhooks signatures, against the reference package and the specification."""

from __future__ import annotations

import base64
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from config.errors import ConfigError
from streams.notify.signing import Signer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"x" * 32).decode()


def test_the_example_of_the_reference_libraries_is_met():
    signer = Signer(SECRET, endpoint="test")
    headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text())
def test_the_reference_package_verifies_any_body(body):
    headers = Signer(SECRET, endpoint="test").headers("id1", int(time.time()), body.encode())
    Webhook(SECRET).verify(body, headers, json_parse=False)


def test_during_rotation_both_secrets_verify():
    headers = Signer(f"{SECRET} {OTHER}", endpoint="test").headers("id1", int(time.time()), b"{}")
    for secret in (SECRET, OTHER):
        Webhook(secret).verify("{}", headers)


@pytest.mark.parametrize("change", ["webhook-id", "webhook-timestamp", "body"])
def test_any_change_breaks_the_signature(change):
    now = int(time.time())
    headers = Signer(SECRET, endpoint="test").headers("id1", now, b"{}")
    body = "{ }" if change == "body" else "{}"
    if change != "body":
        headers[change] = {"webhook-id": "id2", "webhook-timestamp": str(now - 1)}[change]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers)


@pytest.mark.parametrize("with_public", [False, True])
def test_ed25519_keys_sign_with_version_v1a(with_public):
    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes_raw()
    raw += private.public_key().public_bytes_raw() if with_public else b""
    secret = "whsk_" + base64.b64encode(raw).decode()
    headers = Signer(secret, endpoint="test").headers("id1", 17, b"{}")
    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    private.public_key().verify(base64.b64decode(signature), b"id1.17.{}")


@pytest.mark.parametrize(
    "secret",
    ["", "  ", "hunter2-plain", "whsec_hunter2!", "whsec_aHVudGVyMg==", "whsk_aHVudGVyMg=="],
)
def test_a_malformed_secret_is_refused_without_repeating_it(secret):
    with pytest.raises(ConfigError, match="webhook test") as caught:
        Signer(secret, endpoint="test")
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)
