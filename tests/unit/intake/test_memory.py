"""However much is posted at once, the intake holds no more than it may."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.intake.test_server import kserve_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
BODY_BYTES, WAITING_BYTES = 4 * MIB, 16 * MIB
#: A body is held in pieces and as a whole for a moment, and as its records.
COPIES = 3
#: What a connection costs that is told to come back: two reads of 256 KiB.
CONNECTION_BYTES = 512 << 10
POSTS = 150

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only on Linux")


@pytest.fixture
def flooded() -> Iterator[tuple[int, int]]:
    """Process id and port of an intake whose broker never acknowledges."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.intake.flooded", str(BODY_BYTES), str(WAITING_BYTES)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("chunked", [False, True])
async def test_of_six_hundred_megabytes_at_once_a_fifth_is_held_at_most(
    flooded: tuple[int, int], chunked: bool
) -> None:
    pid, port = flooded
    body = b'{"pad":"' + b"x" * (BODY_BYTES - 10) + b'"}'
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {BODY_BYTES}"
    lines = ["POST / HTTP/1.1", "Host: x", length]
    lines += [f"{name}: {value}" for name, value in kserve_headers().items()]
    head = "\r\n".join([*lines, "", ""]).encode()
    pieces = [b"%x\r\n" % BODY_BYTES, body, b"\r\n0\r\n\r\n"] if chunked else [body]
    answers: Counter[bytes] = Counter()

    async def post() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for piece in (head, *pieces):
                writer.write(piece)
                await writer.drain()
            answers[(await reader.readline())[9:12]] += 1
        except ConnectionError:
            answers[b"closed"] += 1
        finally:
            writer.close()

    before_bytes = peak_bytes(pid)
    posts = [asyncio.ensure_future(post()) for _ in range(POSTS)]
    async with asyncio.timeout(60):
        while answers.total() < POSTS - WAITING_BYTES // BODY_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    grown_bytes = peak_bytes(pid) - before_bytes
    assert set(answers) <= {b"429", b"closed"}
    assert answers[b"429"] > 0
    assert sum(not post.done() for post in posts) == WAITING_BYTES // BODY_BYTES
    assert grown_bytes < COPIES * WAITING_BYTES + POSTS * CONNECTION_BYTES
    for waiting in posts:
        waiting.cancel()
