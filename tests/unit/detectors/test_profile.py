"""Profiles: what is fitted, what is stored, what is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from detectors.calibration import fit_profile
from detectors.profile import Profile
from detectors.suite import Suite
from detectors.testing import CLASSES, World

WORLD = World.make(seed=5)


def test_a_profile_survives_being_stored() -> None:
    profile = fit_profile(WORLD.calibration(600))
    meta = json.loads(json.dumps(profile.meta()))
    again = Profile.from_arrays(profile.to_arrays(), meta)
    for field in fields(Profile):
        mine, other = getattr(profile, field.name), getattr(again, field.name)
        assert np.array_equal(mine, other) if isinstance(mine, np.ndarray) else mine == other


def test_the_same_seed_gives_the_same_profile() -> None:
    first, second = (fit_profile(WORLD.calibration(600), seed=4) for _ in range(2))
    for name, array in first.to_arrays().items():
        assert np.array_equal(array, second.to_arrays()[name])


def test_rare_classes_share_the_pooled_group() -> None:
    calibration = WORLD.calibration(600)
    label = calibration.label.copy()
    label[:10] = 77
    profile = fit_profile(replace(calibration, label=label))
    assert len(profile.classes) == CLASSES
    assert profile.group_of(np.array([0, 3, 77, -1], np.int32)).tolist() == [1, 4, 0, 0]


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit_profile(WORLD.calibration(30))


def test_another_version_is_refused() -> None:
    profile = fit_profile(WORLD.calibration(600))
    with pytest.raises(ValueError, match="version"):
        Profile.from_arrays(profile.to_arrays(), {**profile.meta(), "version": 99})


def test_recorded_traffic_gives_a_cohort() -> None:
    rng = np.random.default_rng(0)
    rows = 12_000
    recorded = replace(
        WORLD.calibration(rows),
        time_us=np.sort(rng.integers(0, 4 * 3_600_000_000, rows)),
        client=rng.integers(0, 20, rows).astype(np.int32),
    )
    profile = fit_profile(recorded)
    assert profile.burst_mean.shape == (4, 5)
    assert (np.diff(profile.burst_mean[0, 2:]) > 0).all()


def test_benign_pseudo_clients_are_not_flagged() -> None:
    rehearsed = fit_profile(WORLD.calibration(1500)).summary["false_alarms"]
    assert set(rehearsed) == {"independent", "skewed", "retrying"}
    assert all(counts["flagged"] <= 1 for counts in rehearsed.values())


def test_levels_of_another_shape_are_not_used() -> None:
    fitted = fit_profile(WORLD.calibration(600))
    older = replace(fitted, burst_mean=np.zeros((4, 7)), burst_spread=np.zeros((2, 4, 7)))
    suites = [
        Suite(
            "toy",
            profile,
            run_length_events=20_000,
            max_clients=2048,
            lateness_us=0,
            detectors=("traffic.burst",),
        )
        for profile in (older, None)
    ]
    batch = WORLD.benign(2000, 2, seed=1, gap_us=1000)
    first, second = (suite.observe(batch).findings for suite in suites)
    assert first == second != []
