"""The dashboards, saved searches and data views that Vedette brings along: what people edit."""

from __future__ import annotations

from typing import Final

from streams.kibana.spec import (
    Control,
    Dashboard,
    DataView,
    Grid,
    Measure,
    Panel,
    Search,
    Terms,
)

AUDIT: Final = DataView("vedette-audit", "logs-vedette.audit-*", "Vedette audit", "vedette.audit")
ALERT: Final = DataView("vedette-alert", "logs-vedette.alert-*", "Vedette alerts", "vedette.alert")
CHECKPOINT: Final = DataView(
    "vedette-checkpoint",
    "logs-vedette.checkpoint-*",
    "Vedette checkpoints",
    "vedette.checkpoint",
)
DEAD_LETTER: Final = DataView(
    "vedette-dlq", "logs-vedette.dlq-*", "Vedette dead letters", "vedette.dlq"
)
WINDOW: Final = DataView(
    "vedette-window", "metrics-vedette.window-*", "Vedette windows", "vedette.window"
)
VIEWS: Final = (AUDIT, ALERT, CHECKPOINT, DEAD_LETTER, WINDOW)

_CALLS = Measure("count", "Interactions")
_CLIENTS = Measure("unique_count", "Clients", "user.id")
_ALERTS = Measure("count", "Alerts")
_DENIED = Measure("count", "Denied", kql="event.type : denied")
_FAILED = Measure("count", "Failed", kql="event.outcome : failure")
_UNSCANNED = Measure("count", "Not scanned", kql="vedette.scanned : false")
_P50 = Measure("median", "Latency, median (ns)", "event.duration")
_P95 = Measure("percentile", "Latency, p95 (ns)", "event.duration", 95)
_RISK = Measure("max", "Highest risk", "event.risk_score")

# Windows are added up already: one small document a minute, model and tenant, whatever the traffic.
_WINDOW_CALLS = Measure("sum", "Interactions", "vedette.window.requests")
_WINDOW_CLIENTS = Measure("max", "Clients at once", "vedette.window.clients")
_WINDOW_ERRORS = Measure("sum", "Errors", "vedette.window.errors")
_WINDOW_DENIED = Measure("sum", "Denied", "vedette.window.denied")
_WINDOW_P50 = Measure("median", "Latency, median (ns)", "vedette.window.latency.p50")
_WINDOW_P95 = Measure("max", "Latency, worst p95 (ns)", "vedette.window.latency.p95")

_BY_MODEL = Terms("vedette.model.name", "Model", 10)
_BY_CLIENT = Terms("user.id", "Client", 10)
_BY_RULE = Terms("rule.name", "Rule", 10)
_BY_DETECTOR = Terms("vedette.detector.name", "Detector", 10)
_BY_SEVERITY = Terms("vedette.severity", "Severity", 5)
_BY_OUTCOME = Terms("event.outcome", "Outcome", 3)
_BY_STATUS = Terms("http.response.status_code", "Status", 8)

_MODEL = Control("vedette.model.name", "Model", AUDIT)
_TENANT = Control("organization.id", "Tenant", AUDIT)


def _tiles(view: DataView, *measures: Measure) -> tuple[Panel, ...]:
    """Return a row of single numbers across the page."""
    width = 48 // len(measures)
    return tuple(
        Panel(
            f"tile-{number}",
            measure.label,
            "metric",
            view,
            Grid(number * width, 0, width, 6),
            (measure,),
        )
        for number, measure in enumerate(measures)
    )


OVERVIEW = Dashboard(
    "overview",
    "[Vedette] Overview",
    "Traffic, latency, refusals and alerts of all models.",
    (
        *_tiles(AUDIT, _CALLS, _CLIENTS, _DENIED, _UNSCANNED),
        Panel(
            "traffic", "Interactions by model", "area_stacked", WINDOW, Grid(0, 6, 24, 12),
            (_WINDOW_CALLS,), (_BY_MODEL,), over_time=True,
        ),
        Panel(
            "latency", "Latency", "line", WINDOW, Grid(24, 6, 24, 12),
            (_WINDOW_P50, _WINDOW_P95), over_time=True,
        ),
        Panel(
            "alerts", "Alerts by severity", "bar_stacked", ALERT, Grid(0, 18, 24, 12),
            (_ALERTS,), (_BY_SEVERITY,), over_time=True,
        ),
        Panel(
            "status", "Answers by status", "bar_stacked", AUDIT, Grid(24, 18, 24, 12),
            (_CALLS,), (_BY_STATUS,), over_time=True,
        ),
        Panel(
            "models", "Models", "table", AUDIT, Grid(0, 30, 48, 12),
            (_CALLS, _CLIENTS, _DENIED, _UNSCANNED, _P95), (_BY_MODEL,),
        ),
    ),
    (_MODEL, _TENANT),
)  # fmt: skip

TRIAGE = Dashboard(
    "triage",
    "[Vedette] Alert triage",
    "What was found, how grave it is, and who is behind it.",
    (
        *_tiles(ALERT, _ALERTS, Measure("unique_count", "Clients", "related.user"), _RISK),
        Panel(
            "rules", "Alerts by rule", "bar_stacked", ALERT, Grid(0, 6, 32, 12),
            (_ALERTS,), (_BY_RULE,), over_time=True,
        ),
        Panel(
            "severities", "Severity", "donut", ALERT, Grid(32, 6, 16, 12),
            (_ALERTS,), (_BY_SEVERITY,),
        ),
        Panel(
            "techniques", "ATLAS techniques", "bar_horizontal", ALERT, Grid(0, 18, 24, 12),
            (_ALERTS,), (Terms("threat.technique.id", "Technique", 10),),
        ),
        Panel(
            "clients", "Clients with most alerts", "table", ALERT, Grid(24, 18, 24, 12),
            (_ALERTS, _RISK), (Terms("related.user", "Client", 10),),
        ),
        Panel(
            "list", "Alerts", "table", ALERT, Grid(0, 30, 48, 14),
            (_ALERTS, _RISK, Measure("max", "Evidence (log e)", "vedette.log_e")),
            (
                _BY_RULE,
                _BY_SEVERITY,
                Terms("event.url", "Runbook", 3),
            ),
        ),
    ),
    (Control("vedette.severity", "Severity", ALERT), Control("rule.name", "Rule", ALERT)),
    since="now-7d",
)  # fmt: skip

CLIENT = Dashboard(
    "client",
    "[Vedette] One client",
    "Everything one client did: choose it above.",
    (
        *_tiles(AUDIT, _CALLS, _DENIED, _FAILED, _P95),
        Panel(
            "calls", "Interactions by model", "bar_stacked", AUDIT, Grid(0, 6, 32, 12),
            (_CALLS,), (_BY_MODEL,), over_time=True,
        ),
        Panel(
            "outcomes", "Outcome", "donut", AUDIT, Grid(32, 6, 16, 12), (_CALLS,), (_BY_OUTCOME,)
        ),
        Panel(
            "evidence", "Evidence of copying and evasion (log e)", "line", AUDIT,
            Grid(0, 18, 24, 12),
            (
                Measure("max", "Near", "vedette.near_log_e"),
                Measure("max", "Far", "vedette.far_log_e"),
            ),
            over_time=True,
        ),
        Panel(
            "keys", "Keys and networks", "table", AUDIT, Grid(24, 18, 24, 12), (_CALLS,),
            (
                Terms("vedette.key_id", "Key", 10),
                Terms("vedette.client_network", "Network", 5),
            ),
        ),
        Panel(
            "endpoints", "Models and endpoints", "table", AUDIT, Grid(0, 30, 24, 12),
            (_CALLS, _FAILED), (_BY_MODEL, Terms("event.action", "Operation", 5)),
        ),
        Panel(
            "alerts", "Alerts about the client", "table", ALERT, Grid(24, 30, 24, 12),
            (_ALERTS, _RISK), (_BY_RULE,),
        ),
    ),
    (Control("user.id", "Client", AUDIT), _MODEL),
    since="now-7d",
)  # fmt: skip

MODEL = Dashboard(
    "model",
    "[Vedette] Model health and drift",
    "How sure a model is, what it answers, and how fast.",
    (
        *_tiles(
            AUDIT,
            _CALLS,
            Measure("average", "Confidence", "vedette.confidence"),
            _P95,
            _FAILED,
        ),
        Panel(
            "confidence", "Confidence", "line", AUDIT, Grid(0, 6, 24, 12),
            (
                Measure("median", "Median", "vedette.confidence"),
                Measure("percentile", "p5", "vedette.confidence", 5),
            ),
            over_time=True,
        ),
        Panel(
            "classes", "Answered classes", "area_stacked", AUDIT, Grid(24, 6, 24, 12),
            (_CALLS,), (Terms("vedette.label", "Class", 10),), over_time=True,
        ),
        Panel(
            "drift", "Drift findings", "bar_stacked", ALERT, Grid(0, 18, 24, 12),
            (_ALERTS,), (_BY_MODEL,), over_time=True, kql="vedette.kind : drift",
        ),
        Panel(
            "tokens", "Tokens", "line", WINDOW, Grid(24, 18, 24, 12),
            (
                Measure("sum", "In", "vedette.window.tokens.input"),
                Measure("sum", "Out", "vedette.window.tokens.output"),
            ),
            over_time=True,
        ),
        Panel(
            "load", "Load and failures by minute", "table", WINDOW, Grid(0, 40, 48, 10),
            (_WINDOW_CALLS, _WINDOW_CLIENTS, _WINDOW_ERRORS, _WINDOW_DENIED, _WINDOW_P95),
            (_BY_MODEL, Terms("organization.id", "Tenant", 5)),
        ),
        Panel(
            "versions", "Versions", "table", AUDIT, Grid(0, 30, 48, 10),
            (_CALLS, Measure("average", "Confidence", "vedette.confidence"), _P50, _P95),
            (_BY_MODEL, Terms("vedette.model.version", "Version", 5)),
        ),
    ),
    (_MODEL,),
)  # fmt: skip

DETECTORS = Dashboard(
    "detectors",
    "[Vedette] Detectors",
    "What each detector found, on how much evidence, after how many interactions.",
    (
        *_tiles(
            ALERT,
            _ALERTS,
            Measure("median", "Interactions until found", "vedette.events"),
            Measure("min", "Weakest evidence (log e)", "vedette.log_e"),
        ),
        Panel(
            "found", "Alerts by detector", "bar_stacked", ALERT, Grid(0, 6, 24, 12),
            (_ALERTS,), (_BY_DETECTOR,), over_time=True,
        ),
        Panel(
            "delay", "Interactions until found", "line", ALERT, Grid(24, 6, 24, 12),
            (
                Measure("median", "Median", "vedette.events"),
                Measure("max", "Most", "vedette.events"),
            ),
            over_time=True,
        ),
        Panel(
            "scanned", "Scanned and not scanned", "area_stacked", AUDIT, Grid(0, 18, 24, 12),
            (_CALLS,), (Terms("vedette.scanned", "Scanned", 2),), over_time=True,
        ),
        Panel(
            "kinds", "Kinds", "donut", ALERT, Grid(24, 18, 24, 12),
            (_ALERTS,), (Terms("vedette.kind", "Kind", 8),),
        ),
        Panel(
            "list", "Detectors", "table", ALERT, Grid(0, 30, 48, 12),
            (
                _ALERTS,
                Measure("unique_count", "Subjects", "vedette.subject.ids"),
                Measure("median", "Interactions", "vedette.events"),
                Measure("average", "Evidence (log e)", "vedette.log_e"),
                Measure("min", "Wanted run length", "vedette.run_length"),
            ),
            (_BY_DETECTOR, Terms("vedette.detector.version", "Version", 3)),
        ),
    ),
    (Control("vedette.detector.name", "Detector", ALERT),),
    since="now-7d",
)  # fmt: skip

PIPELINE = Dashboard(
    "pipeline",
    "[Vedette] Pipeline health",
    "Whether everything arrives, is scanned, and is signed.",
    (
        *_tiles(
            AUDIT,
            _CALLS,
            _UNSCANNED,
            Measure("count", "Withheld", kql="tags : withheld"),
            Measure("max", "Longest log", "event.sequence"),
        ),
        Panel(
            "arrivals", "Documents by log", "area_stacked", AUDIT, Grid(0, 6, 24, 12),
            (_CALLS,), (Terms("vedette.chain.log", "Log", 10),), over_time=True,
        ),
        Panel(
            "signed", "Records signed", "line", CHECKPOINT, Grid(24, 6, 24, 12),
            (Measure("max", "Records", "vedette.checkpoint.size"),),
            (Terms("vedette.checkpoint.log", "Log", 10),), over_time=True,
        ),
        Panel(
            "checkpoints", "Checkpoints", "table", CHECKPOINT, Grid(0, 18, 24, 12),
            (Measure("count", "Checkpoints"), Measure("max", "Records", "vedette.checkpoint.size")),
            (Terms("vedette.checkpoint.log", "Log", 10),),
        ),
        Panel(
            "sources", "Sources", "table", AUDIT, Grid(24, 18, 24, 12),
            (_CALLS, Measure("max", "Highest offset", "vedette.kafka.offset")),
            (
                Terms("vedette.kafka.topic", "Topic", 5),
                Terms("vedette.kafka.partition", "Partition", 16),
            ),
        ),
        Panel(
            "letters", "Dead letters by reason", "bar_stacked", DEAD_LETTER, Grid(0, 30, 24, 12),
            (Measure("count", "Dead letters"),), (Terms("error.code", "Reason", 8),),
            over_time=True,
        ),
        Panel(
            "refused", "Dead letters by topic", "table", DEAD_LETTER, Grid(24, 30, 24, 12),
            (Measure("count", "Dead letters"),),
            (
                Terms("vedette.dead_letter.topic", "Topic", 8),
                Terms("vedette.dead_letter.stage", "Stage", 5),
            ),
        ),
    ),
    since="now-24h",
)  # fmt: skip

DASHBOARDS: Final = (OVERVIEW, TRIAGE, CLIENT, MODEL, DETECTORS, PIPELINE)

SEARCHES: Final = (
    Search(
        "interactions",
        "[Vedette] Interactions",
        AUDIT,
        ("user.id", "vedette.model.name", "event.action", "http.response.status_code", "message"),
    ),
    Search(
        "alerts",
        "[Vedette] Alerts",
        ALERT,
        ("rule.name", "vedette.severity", "related.user", "threat.technique.id", "event.reason"),
    ),
    Search(
        "unscanned",
        "[Vedette] Not scanned",
        AUDIT,
        ("user.id", "vedette.model.name", "message"),
        "vedette.scanned : false",
    ),
)
