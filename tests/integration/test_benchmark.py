"""The pipeline benchmark measures everything that it promises, on a real broker."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from pathlib import Path

POSITIVE = (
    *("bare_us", "ingest_us", "detect_us", "index_us", "stock_us"),
    *("whole_events_per_s", "state_bytes_per_client"),
)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_quick_run_measures_everything(broker: str, tmp_path: Path) -> None:
    out = tmp_path / "pipeline.json"
    command = ["bench", "pipeline", "--json", str(out), "--quick"]
    ran = subprocess.run(
        [sys.executable, "-m", "streams.cli.main", *command],
        env={**os.environ, "VEDETTE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    result = msgspec.json.decode(out.read_bytes())
    figures = [result[name] for name in POSITIVE]
    figures += [result["alert_latency_s"][name] for name in ("p50", "p99")]
    figures += result["ratios"].values()
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)
    assert math.isfinite(result["rss_growth_mb"])
    assert {"cpu", "cores", "memory_gb", "python", "kafka", "torch"} <= result["machine"].keys()
    assert len(result["wanted"]) == 8
    assert not list((tmp_path / "home" / "bench").iterdir()), "the run's home is gone"
