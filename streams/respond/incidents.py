"""Findings into incidents, and incidents into the few alerts that are worth telling.

Time is that of the findings: the watermark is the latest one seen, and while nothing arrives it
advances with the clock (`advance`). Everything else is a function of the findings in their order,
so a worker that starts again from a snapshot and reads on raises the same alerts with the same ids.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, get_args

from streams.metrics.catalogue import (
    DECISIONS,
    INCIDENT_CLIENTS,
    INCIDENTS,
    INCIDENTS_EVICTED,
    RULE_FINDINGS,
)
from streams.respond.alerts import incident_alert, interactions_of
from streams.respond.decisions import TELLING, news
from streams.respond.explain import channel_of
from streams.respond.incident import (
    MAX_SAMPLES,
    Incident,
    Key,
    Moment,
    Reason,
    Told,
    incident_id,
    slim,
    stated_accounts,
)
from streams.respond.ranking import Ranker
from streams.respond.risk import raised
from streams.respond.seen import Seen
from streams.respond.severity import RANK
from streams.respond.silences import Silences
from streams.respond.times import event_time, iso_us, microseconds
from streams.rules.fallback import FALLBACK
from streams.rules.match import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Counter

    from config.respond import AssetValue, RespondSettings
    from detectors.finding import Finding, Severity
    from streams.respond.alerts import Alert
    from streams.respond.incident import Scope
    from streams.rules.load import RuleSet
    from streams.rules.model import Rule

#: Findings whose repetition is recognised. A detect role that is killed repeats seconds' worth.
REMEMBERED_FINDINGS = 100_000
#: Ended incidents whose return is recognised as repetition.
REMEMBERED_INCIDENTS = 50_000


#: Bound once: looking a series up costs more than counting.
_DECIDED = {reason: DECISIONS.labels(reason) for reason in get_args(Reason)}


@lru_cache(maxsize=1024)
def _taken_by(rule: str, mode: str) -> Counter:
    return RULE_FINDINGS.labels(rule, mode)


class Cause(NamedTuple):
    """Under which clients may be one campaign."""

    rule: str
    model: str


class Incidents:
    """The open incidents.

    Parameters
    ----------
    settings
        Section of the settings: bounds and the value of models.
    """

    def __init__(self, settings: RespondSettings) -> None:
        self._settings = settings
        self.open: OrderedDict[Key, Incident] = OrderedDict()
        self.seen = Seen(REMEMBERED_FINDINGS)
        self.silences = Silences()
        self.ranker = Ranker(lowers=settings.lower_false)
        self.watermark_us = 0
        self.recent: dict[Cause, OrderedDict[str, int]] = {}
        self.ended: OrderedDict[Key, int] = OrderedDict()
        self._groups: dict[Cause, dict[Key, None]] = {}
        self._ends: list[tuple[int, Key]] = []
        self._members = 0

    def take(self, finding: Finding, rules: RuleSet) -> list[Alert]:
        """Take one finding and return the alerts that it is worth, mostly none or one."""
        if not self.seen.add(finding.id):
            _DECIDED["duplicate"].inc()
            return []
        time_us = microseconds(event_time(finding.time))
        self.watermark_us = max(self.watermark_us, time_us)
        taken = rules.take(finding)
        alerts = []
        if taken.rule is not None:
            alerts += self._observe(taken.rule, finding, time_us, rules, shadow=False)
        for other in taken.shadows:
            alerts += self._observe(other, finding, time_us, rules, shadow=True)
        alerts += self.advance(self.watermark_us, rules)
        return alerts

    def advance(self, now_us: int, rules: RuleSet) -> list[Alert]:
        """End the incidents that have been quiet until event time ``now_us``."""
        self.watermark_us = max(self.watermark_us, now_us)
        alerts: list[Alert] = []
        while self._ends and self._ends[0][0] <= self.watermark_us:
            _, key = heapq.heappop(self._ends)
            incident = self.open.get(key)
            if incident is None:
                continue
            rule = rules.by_id.get(key.rule, FALLBACK)
            end_us = incident.touched_us + int(rule.window_s * 1e6)
            if end_us > self.watermark_us:
                heapq.heappush(self._ends, (end_us, key))
            else:
                alerts += self._end(incident, rule, "resolved")
        return alerts

    def close(self, target: str, rules: RuleSet, reason: Reason) -> list[Alert]:
        """End the incident that has this id, by a person's word."""
        for key, incident in self.open.items():
            if incident.id == target:
                return self._end(incident, rules.by_id.get(key.rule, FALLBACK), reason)
        return []

    def acknowledge(self, target: str, author: str) -> None:
        """Stop reminding people of an incident that somebody works on."""
        for incident in self.open.values():
            if incident.id == target:
                incident.acknowledged_by = author

    def restored(self, incidents: Iterable[Incident]) -> None:
        """Take over the incidents of a snapshot, in their order."""
        self.open = OrderedDict((incident.key, incident) for incident in incidents)
        self._members = sum(len(incident.clients) for incident in self.open.values())
        self._groups = {}
        for key in self.open:
            self._join_groups(key)
        # Due at once: `advance` puts each back to when it really ends.
        self._ends = [(incident.touched_us, incident.key) for incident in self.open.values()]
        heapq.heapify(self._ends)
        self._show()

    def _observe(
        self, rule: Rule, finding: Finding, time_us: int, rules: RuleSet, *, shadow: bool
    ) -> list[Alert]:
        _taken_by(rule.id, rule.mode).inc()
        asset = self._settings.assets.get(finding.model, "normal")
        severity = raised(bounded(rule, finding.severity), asset)
        incident = self._incident(rule, finding, time_us, severity, shadow=shadow)
        alerts = self._make_room(rules)
        self._add(incident, finding, time_us, severity)
        reason = self._gated(news(incident, rule.updates, time_us), incident, rules, time_us)
        _DECIDED[reason].inc()
        if reason in TELLING:
            alerts.append(self._tell(incident, rule, reason, finding, asset, time_us))
        return alerts

    def _incident(
        self, rule: Rule, finding: Finding, time_us: int, severity: Severity, *, shadow: bool
    ) -> Incident:
        """Return the incident that a finding belongs to, a new one if need be."""
        subject = finding.subject
        if subject.type == "client" and subject.ids:
            return self._of_client(rule, finding, time_us, severity, shadow=shadow)
        if subject.type == "campaign":
            for key in self._groups.get(Cause(rule.id, finding.model), ()):
                incident = self.open[key]
                if _same_campaign(incident, finding, time_us, rule):
                    return incident
            return self._new(rule, "group", finding.id, finding, time_us, severity, shadow=shadow)
        scope: Scope = "tenant" if subject.type == "tenant" else "model"
        name = subject.ids[0] if subject.ids else ""
        key = Key(rule.id, finding.model, scope, name)
        return self.open.get(key) or self._new(
            rule, scope, name, finding, time_us, severity, shadow=shadow
        )

    def _of_client(
        self, rule: Rule, finding: Finding, time_us: int, severity: Severity, *, shadow: bool
    ) -> Incident:
        client = finding.subject.ids[0]
        campaign = self.open.get(Key(rule.id, finding.model, "campaign", ""))
        if campaign is not None:
            return campaign
        recent = self._recent(Cause(rule.id, finding.model), client, time_us, rule)
        if len(recent) >= rule.campaign.clients:
            campaign = self._new(rule, "campaign", "", finding, time_us, severity, shadow=shadow)
            self._absorb(campaign, recent)
            recent.clear()
            return campaign
        own = self.open.get(Key(rule.id, finding.model, "client", client))
        return own or self._new(rule, "client", client, finding, time_us, severity, shadow=shadow)

    def _recent(self, cause: Cause, client: str, time_us: int, rule: Rule) -> OrderedDict[str, int]:
        """Note that a client was found, and return those found lately for the same cause."""
        recent = self.recent.setdefault(cause, OrderedDict())
        recent[client] = max(time_us, recent.pop(client, 0))
        oldest_us = time_us - int(rule.campaign.within_s * 1e6)
        for other in [name for name, last_us in recent.items() if last_us < oldest_us]:
            del recent[other]
        if len(self.recent) > self._settings.max_incidents:
            del self.recent[next(iter(self.recent))]
        return recent

    def _absorb(self, campaign: Incident, clients: Iterable[str]) -> None:
        """Move the incidents of single clients into their campaign."""
        for client in clients:
            key = Key(campaign.key.rule, campaign.key.model, "client", client)
            own = self.open.pop(key, None)
            if own is None:
                continue
            campaign.clients.update(own.clients)
            campaign.findings += own.findings
            campaign.opened_us = min(campaign.opened_us, own.opened_us)
            if RANK[own.severity] > RANK[campaign.severity]:
                campaign.severity = own.severity
            if own.strongest.log_e > campaign.strongest.log_e:
                campaign.strongest = own.strongest
            _sample(campaign, own.samples)

    def _new(
        self,
        rule: Rule,
        scope: Scope,
        subject: str,
        finding: Finding,
        time_us: int,
        severity: Severity,
        *,
        shadow: bool,
    ) -> Incident:
        key = Key(rule.id, finding.model, scope, subject)
        incident = Incident(
            id=incident_id(*key, finding.id),
            key=key,
            rule_version=rule.version,
            shadow=shadow,
            tenant=None if scope == "campaign" else finding.tenant,
            opened_us=time_us,
            last_us=time_us,
            touched_us=self.watermark_us,
            severity=severity,
            strongest=slim(finding),
            earlier=self.ended.get(key, 0),
        )
        self.open[key] = incident
        self._join_groups(key)
        heapq.heappush(self._ends, (self.watermark_us + int(rule.window_s * 1e6), key))
        self._show()
        return incident

    def _add(self, incident: Incident, finding: Finding, time_us: int, severity: Severity) -> None:
        """Count a finding; this runs for each of a million, so it does little."""
        incident.findings += 1
        incident.touched_us = self.watermark_us
        incident.last_us = max(incident.last_us, time_us)
        if RANK[severity] > RANK[incident.severity]:
            incident.severity = severity
        if finding.log_e > incident.strongest.log_e:
            incident.strongest = slim(finding)
        if len(incident.samples) < MAX_SAMPLES:
            _sample(incident, interactions_of(finding))
        if finding.subject.type not in ("client", "campaign"):
            return
        incident.stated = max(incident.stated, stated_accounts(finding))
        for client in finding.subject.ids:
            if client in incident.clients:
                incident.clients[client] += 1
            elif self._members < self._settings.max_incident_clients:
                incident.clients[client] = 1
                self._members += 1
            else:
                incident.clients_beyond += 1

    def _gated(self, reason: Reason, incident: Incident, rules: RuleSet, now_us: int) -> Reason:
        """Return the reason, or the one for which people are not told."""
        if reason not in TELLING:
            return reason
        if self.silences.covering(incident, now_us) is not None:
            return "silenced"
        return "inhibited" if self._inhibited(incident, rules) else reason

    def _inhibited(self, incident: Incident, rules: RuleSet) -> bool:
        for rule in rules.inhibitors.get(incident.key.rule, ()):
            if Key(rule, *incident.key[1:]) in self.open and incident.key.scope != "campaign":
                return True
            if incident.clients and any(
                incident.clients.keys() <= self.open[key].clients.keys()
                for key in self._campaigns(rule, incident.key.model)
            ):
                return True
        return False

    def _campaigns(self, rule: str, model: str) -> Iterator[Key]:
        """Yield the open campaigns of a rule, found by a detector or here."""
        key = Key(rule, model, "campaign", "")
        if key in self.open:
            yield key
        yield from self._groups.get(Cause(rule, model), ())

    def _tell(
        self,
        incident: Incident,
        rule: Rule,
        reason: Reason,
        finding: Finding | None,
        asset: AssetValue,
        time_us: int,
    ) -> Alert:
        incident.sequence += 1
        if finding is not None:
            incident.ranking = self.ranker.rank(incident, reason)
        incident.note(
            Moment(
                time=iso_us(time_us),
                what=reason,
                severity=incident.severity,
                clients=incident.client_count,
                findings=incident.findings,
            )
        )
        incident.told = Told(
            at_us=time_us,
            severity=incident.severity,
            log_e=incident.strongest.log_e,
            clients=incident.client_count,
        )
        return incident_alert(incident, rule, reason, finding, asset=asset)

    def _end(self, incident: Incident, rule: Rule, reason: Reason) -> list[Alert]:
        key = incident.key
        del self.open[key]
        self._groups.get(Cause(key.rule, key.model), {}).pop(key, None)
        self._members -= len(incident.clients)
        self.ended[key] = self.ended.pop(key, 0) + 1
        if len(self.ended) > REMEMBERED_INCIDENTS:
            self.ended.popitem(last=False)
        self._show()
        if incident.told is None:
            _DECIDED["no_news"].inc()
            return []
        _DECIDED[reason].inc()
        asset = self._settings.assets.get(key.model, "normal")
        return [self._tell(incident, rule, reason, None, asset, incident.last_us)]

    def _make_room(self, rules: RuleSet) -> list[Alert]:
        """End the oldest incidents while there are more than memory is meant for."""
        alerts: list[Alert] = []
        while len(self.open) > self._settings.max_incidents:
            incident = next(iter(self.open.values()))
            INCIDENTS_EVICTED.inc()
            alerts += self._end(incident, rules.by_id.get(incident.key.rule, FALLBACK), "resolved")
        return alerts

    def _join_groups(self, key: Key) -> None:
        """Keep the campaigns that detectors found at hand, by cause."""
        if key.scope == "group":
            self._groups.setdefault(Cause(key.rule, key.model), {})[key] = None

    def _show(self) -> None:
        INCIDENTS.set(len(self.open))
        INCIDENT_CLIENTS.set(self._members)


def _same_campaign(incident: Incident, finding: Finding, time_us: int, rule: Rule) -> bool:
    """Tell whether a campaign that a detector found is one that is open.

    Detectors see the clients of their own partition: the parts of one campaign share the channel
    and the time, not the clients.
    """
    if not incident.clients.keys().isdisjoint(finding.subject.ids):
        return True
    lately = time_us - incident.last_us <= rule.campaign.within_s * 1e6
    return lately and channel_of(incident.strongest) == channel_of(finding)


def _sample(incident: Incident, interactions: Iterable[str]) -> None:
    for item in interactions:
        if len(incident.samples) >= MAX_SAMPLES:
            return
        if item not in incident.samples:
            incident.samples.append(item)
