"""Importing this module registers every detector; they run in the order of the imports.

The query detector comes first: it leaves the evidence of single rows to those after it.
"""

# isort: skip_file
from __future__ import annotations

from detectors.query.pincer import Pincer
from detectors.query.coverage import Coverage
from detectors.traffic.burst import Burst
from detectors.requests.probes import Probes
from detectors.drift.confidence import ConfidenceDrift
from detectors.drift.inputs import InputDrift
from detectors.membership.probing import MembershipProbing
from detectors.campaign.accounts import Campaign
from detectors.windows.half_space import HalfSpaceWindows

__all__ = [
    "Burst",
    "Campaign",
    "ConfidenceDrift",
    "Coverage",
    "HalfSpaceWindows",
    "InputDrift",
    "MembershipProbing",
    "Pincer",
    "Probes",
]
