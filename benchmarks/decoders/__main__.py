"""Print what it costs to decode a record of each format: ``python -m benchmarks.decoders``."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from benchmarks.decoders.measure import WANTED_RATIO, measure


def main() -> int:
    """Measure and print; the exit code is 1 if a row of a format costs more than is wanted."""
    table = Table("format", "bytes", "msgspec µs", "json µs", "decoder µs", "x", "row µs", "x")
    too_much = 0
    for name, cost in measure().items():
        too_much += cost.ratio > WANTED_RATIO
        table.add_row(
            name,
            str(cost.size_bytes),
            f"{cost.msgspec_us:.1f}",
            f"{cost.json_us:.1f}",
            f"{cost.decoder_us:.1f}",
            f"{cost.decoder_ratio:.1f}",
            f"{cost.ours_us:.1f}",
            f"{cost.ratio:.1f}",
        )
    Console().print(table)
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
