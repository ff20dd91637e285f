"""Importing this module registers every detector."""

from __future__ import annotations

from detectors.campaign.accounts import Campaign
from detectors.drift.confidence import ConfidenceDrift
from detectors.drift.inputs import InputDrift
from detectors.membership.probing import MembershipProbing
from detectors.query.coverage import Coverage
from detectors.query.pincer import Pincer
from detectors.requests.probes import Probes
from detectors.traffic.burst import Burst
from detectors.traffic.pools import Pools
from detectors.windows.half_space import HalfSpaceWindows

#: The query detector comes first: it leaves the evidence of single rows to those after it.
RUN_ORDER: tuple[object, ...] = (
    Pincer,
    Coverage,
    Burst,
    Pools,
    Probes,
    ConfidenceDrift,
    InputDrift,
    MembershipProbing,
    Campaign,
    HalfSpaceWindows,
)
