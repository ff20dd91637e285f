"""Print what it costs to decode a record of each format: ``python -m benchmarks.decoders``."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from benchmarks.decoders.measure import WANTED_RATIO, measure

_COLUMNS = ("format", "bytes", "json µs", "value µs", "bare µs")
_OURS = ("decoder µs", "x value", "x bare", "row µs", "x bare")


def main() -> int:
    """Measure and print; the exit code is 1 if a decoder costs more than is wanted."""
    table = Table(*_COLUMNS, *_OURS)
    too_much = 0
    for name, cost in measure().items():
        too_much += cost.ratio > WANTED_RATIO
        figures = (
            cost.json_us,
            cost.value_us,
            cost.bare_us,
            cost.decoder_us,
            cost.value_ratio,
            cost.ratio,
            cost.row_us,
            cost.row_ratio,
        )
        table.add_row(name, str(cost.size_bytes), *(f"{figure:.1f}" for figure in figures))
    Console(width=110).print(table)
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
