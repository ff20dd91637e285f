"""The rule that turns Vedette's alerts into alerts of Elastic Security."""

from __future__ import annotations

from typing import Any

from streams.kibana.dashboards import ALERT
from streams.respond.severity import SEVERITIES

#: Stable, so that an import replaces the rule.
RULE_ID = "8f0d0c52-6f1c-4d53-9f0f-2f0f4a7f0b61"


def detection_rule() -> dict[str, Any]:
    """Return the rule as Kibana imports it.

    ATLAS stands in the alerts' own ``threat`` fields, which Kibana copies; in the rule itself it
    would be refused before 9.6.
    """
    severities = [
        {
            "field": "event.severity",
            "operator": "equals",
            "value": str(severity.risk_score),
            "severity": "low" if name == "info" else name,
        }
        for name, severity in SEVERITIES.items()
    ]
    return {
        "rule_id": RULE_ID,
        "name": "Vedette: misuse of a served model",
        "description": (
            "Every alert of Vedette: extraction, evasion, floods, drift. Name, severity and risk "
            "come from the alert."
        ),
        "type": "query",
        "language": "kuery",
        "query": "event.kind : alert and event.module : vedette",
        "index": [ALERT.pattern],
        "enabled": False,
        "immutable": False,
        "version": 1,
        "severity": "medium",
        "severity_mapping": severities,
        "risk_score": SEVERITIES["medium"].risk_score,
        "risk_score_mapping": [{"field": "event.risk_score", "operator": "equals", "value": ""}],
        "rule_name_override": "rule.name",
        "timestamp_override": "event.ingested",
        "from": "now-10m",
        "to": "now",
        "interval": "5m",
        "max_signals": 1000,
        "author": ["Vedette"],
        "license": "Apache-2.0",
        "tags": ["Vedette", "MITRE ATLAS", "Domain: LLM"],
        "references": [],
        "false_positives": [
            "A client whose benign traffic changed; calibrate the profile of the model anew."
        ],
        "threat": [],
        "actions": [],
        "exceptions_list": [],
        "note": "Each alert says what to do: `vedette.recommended_action`, `event.url`.",
    }
