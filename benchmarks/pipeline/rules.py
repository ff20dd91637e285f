"""Rules for the measurement of latency: every attacker is told of alone.

As shipped, the fifth client of one kind turns all of them into one campaign, which is told at its
own pace: sixty attackers would give a handful of alerts, and latency a handful of values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from streams.rules.load import BUILT_IN

if TYPE_CHECKING:
    from pathlib import Path

_NEVER_A_CAMPAIGN = {"clients": 1000}


def write_rules(directory: Path) -> Path:
    """Write the shipped rules without campaigns, and return where they lie."""
    directory.mkdir()
    for shipped in BUILT_IN.glob("*.yaml"):
        rules = [
            {**rule, "campaign": _NEVER_A_CAMPAIGN} for rule in yaml.safe_load(shipped.read_text())
        ]
        (directory / shipped.name).write_text(yaml.safe_dump(rules, sort_keys=False))
    return directory
