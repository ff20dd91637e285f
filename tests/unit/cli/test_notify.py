"""``vedette notify``: a test goes the real way, and no failure tells where to."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from streams.cli import main
from tests.contract.leaks import assert_no_leak

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver():
    """Serve a webhook in a thread: the command has an event loop of its own."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        status = 204

        def do_POST(self):
            got.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(Handler.status)
            self.end_headers()

        def log_message(self, *_): ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, got, Handler
    server.shutdown()
    server.server_close()
    thread.join()


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main.main(["notify", *arguments])
    return stopped.value.code or 0


def configure(monkeypatch, port):
    sink = {
        "type": "webhook",
        "name": "oncall",
        "url": f"http://127.0.0.1:{port}/S3CRET-PATH",
        "secret": SECRET,
        "allow_private": True,
    }
    monkeypatch.setenv("VEDETTE_RESPOND__SINKS", msgspec.json.encode([sink]).decode())


def test_a_test_alert_arrives_signed(monkeypatch, receiver, capsys):
    port, got, _ = receiver
    configure(monkeypatch, port)
    assert run("test", "oncall") == 0
    assert "oncall has it" in capsys.readouterr().out
    ((headers, body),) = got
    Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    data = msgspec.json.decode(body)["data"]
    assert (data["severity"], data["title"]) == ("info", "Test of this receiver")


def test_a_refusal_is_one_word_and_exit_code_1(monkeypatch, receiver, capsys):
    port, _, handler = receiver
    handler.status = 503
    configure(monkeypatch, port)
    assert run("test", "oncall") == 1
    out = capsys.readouterr()
    assert out.err == "vedette: oncall did not take it: slow_down\n"
    assert_no_leak((SECRET, "S3CRET-PATH"), [out.out, out.err])


def test_sinks_are_listed_without_their_secrets(monkeypatch, capsys):
    configure(monkeypatch, 1)
    monkeypatch.setenv("COLUMNS", "200")
    assert run("list") == 0
    out = capsys.readouterr().out
    assert "oncall" in out
    assert "webhook" in out
    with pytest.raises(SystemExit):
        main.main(["config", "show"])
    assert_no_leak((SECRET, "S3CRET-PATH"), [out, capsys.readouterr().out])
