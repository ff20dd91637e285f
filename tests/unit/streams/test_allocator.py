"""Blocks of a chunk are used again for the next one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streams.allocator import keep_freed_memory

#: Prints how many pages were mapped anew while blocks of a megabyte came and went.
_SCRIPT = """
import resource, sys
from streams.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def blocks(count):
    for _ in range(count):
        held = [bytearray(b"x") * (1 << 20) for _ in range(16)]
        del held
blocks(3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
blocks(20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", _SCRIPT, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_freed_blocks_are_not_mapped_anew() -> None:
    if not keep_freed_memory():
        pytest.skip("this C library has no mallopt")
    assert faults("keep") * 10 < faults("leave")
