"""The demo's home is its own, and its children see its settings alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from config.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

# kafka-python reads a package resource in a way that Python deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:read_text is deprecated:DeprecationWarning")


def test_a_directory_of_somebody_else_is_never_emptied(tmp_path: Path) -> None:
    from streams.demo.watch import fresh_home

    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not made by the demo"):
        fresh_home(tmp_path, "digits")
    assert (tmp_path / "thesis.tex").exists()


def test_the_home_of_an_earlier_demo_starts_afresh(tmp_path: Path) -> None:
    from streams.demo.watch import fresh_home

    home = tmp_path / "demo"
    fresh_home(home, "digits")
    (home / "audit.sqlite").write_text("old")
    settings = fresh_home(home, "digits")
    assert settings.home == home
    assert not (home / "audit.sqlite").exists()


def test_children_inherit_nothing_but_the_demos_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streams.demo.watch import environment, fresh_home

    monkeypatch.setenv("VEDETTE_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("VEDETTE_PARTITIONS", "64")
    settings = fresh_home(tmp_path / "demo", "digits")
    ours = {
        name: value for name, value in environment(settings).items() if name.startswith("VEDETTE_")
    }
    assert ours == {
        "VEDETTE_HOME": str(settings.home),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "VEDETTE_SERVE__MODEL": "digits",
        "VEDETTE_RESPOND__VERDICT_SHADOW": "false",
    }
