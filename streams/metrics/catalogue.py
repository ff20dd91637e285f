"""Every metric of the roles; labels are closed sets, never a tenant, client or model.

Series are made at the start wherever the set of labels is known, so that absence means nothing.
"""

from __future__ import annotations

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from detectors.finding import Severity
from streams.respond.actions import Action

SEVERITY_LABELS = get_args(Severity)
_FAST = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)

RECORDS = Counter("vedette_records_total", "Records handled.", ["topic", "result"])
DECODE_ERRORS = Counter("vedette_decode_errors_total", "Records refused, by reason.", ["reason"])
DLQ_RECORDS = Counter("vedette_dlq_records_total", "Dead letters written.", ["stage"])
EVENT_LAG = Gauge("vedette_event_lag_seconds", "Age of the last record handled.", ["topic"])
CONSUMER_LAG = Gauge("vedette_consumer_lag_records", "Records not yet acknowledged.", ["topic"])
BUILD = Gauge("vedette_build_info", "1; what runs.", ["version", "role"])

SIGNATURE_CHECKS = Counter(
    "vedette_signature_checks_total", "Signed models and profiles checked on loading.", ["result"]
)
DETECTOR_SECONDS = Histogram(
    "vedette_detector_seconds", "Time of a detector for a batch.", ["detector"], buckets=_FAST
)
DETECTOR_KEYS = Gauge(
    "vedette_detector_state_keys", "Clients that a detector keeps something of.", ["detector"]
)
DETECTOR_EVICTIONS = Counter(
    "vedette_detector_evictions_total", "Clients that detection forgot for want of room."
)
UNSCANNED = Counter(
    "vedette_unscanned_total", "Interactions of models that detection had no room for."
)
FINDINGS = Counter("vedette_findings_total", "Findings, by detector.", ["detector", "severity"])
DECISIONS = Counter("vedette_decisions_total", "What became of findings, by reason.", ["reason"])
FEEDBACK_LEARNED = Counter(
    "vedette_feedback_learned_total", "Judgements of analysts that the ranking took.", ["said"]
)
ALERTS_LOWERED = Counter(
    "vedette_alerts_lowered_total", "Incidents told one severity lower, by analysts' judgements."
)
RULE_FINDINGS = Counter("vedette_rule_findings_total", "Findings a rule took.", ["rule", "mode"])
INCIDENTS = Gauge("vedette_incidents_open", "Open incidents.")
INCIDENT_CLIENTS = Gauge("vedette_incident_clients", "Clients in open incidents.")
INCIDENTS_EVICTED = Counter("vedette_incidents_evicted_total", "Closed early for want of room.")
RULES_RELOADED = Counter("vedette_rules_reload_total", "Reloads of the rules.", ["result"])
RULES_ACTIVE = Gauge("vedette_rules_active_info", "Rules in force, by version.", ["version"])
SNAPSHOT_SECONDS = Histogram(
    "vedette_respond_snapshot_seconds", "Time to make incidents durable.", buckets=_FAST
)

AUDIT_HEAD_SIZE = Gauge(
    "vedette_audit_head_size", "Records under the newest checkpoint, by log.", ["log"]
)

VERDICTS = Counter("vedette_verdicts_total", "Verdicts published.", ["action", "mode"])
VERDICT_ENTRIES = Gauge("vedette_verdict_entries", "Clients in the local table.")
VERDICT_LOOKUP_SECONDS = Histogram(
    "vedette_verdict_lookup_seconds", "Time of one request to the lookup service.", buckets=_FAST
)

WATCH_FIRING = Gauge("vedette_watch_firing", "1 while a condition of the watch fires.", ["name"])
HEARTBEAT = Gauge("vedette_heartbeat_timestamp_seconds", "When the last heartbeat was written.")

for _stage in ("decode", "serve", "detect", "respond", "index"):
    DLQ_RECORDS.labels(_stage)
for _action in get_args(Action):
    for _mode in ("shadow", "live"):
        VERDICTS.labels(_action, _mode)
for _said in ("real", "false", "ignored"):
    FEEDBACK_LEARNED.labels(_said)
for _result in ("ok", "error"):
    RULES_RELOADED.labels(_result)
for _result in ("ok", "refused"):
    SIGNATURE_CHECKS.labels(_result)
