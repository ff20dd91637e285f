"""What the documentation names exists: commands, settings, files, alert kinds."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from config.settings import Settings
from detectors.registry import registered
from streams.cli.main import COMMANDS, build_app
from streams.notify.signing import Signer
from streams.rules.load import load_rules
from streams.rules.runbooks import runbooks
from streams.topics import TOPICS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
#: Commands whose second word is a command too.
GROUPS = {
    *(
        "alerts",
        "audit",
        "broker",
        "config",
        "dlq",
        "elastic",
        "models",
        "notify",
        "rules",
        "silence",
        "topics",
    ),
    "verdicts",
}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def snippet(containing: str) -> str:
    """Return the Python example of the README that holds a text."""
    blocks = re.findall(r"```python\n(.*?)```", TEXTS["README.md"], re.DOTALL)
    (found,) = [block for block in blocks if containing in block]
    return found


@pytest.mark.parametrize("page", TEXTS)
def test_commands_that_are_named_exist(page: str) -> None:
    named = {
        (match[1], match[2] or "")
        for match in re.finditer(
            r"(?:`|^)vedette ([a-z]+)(?: ([a-z-]+))?\b", TEXTS[page], re.MULTILINE
        )
    }
    names = {name for name, *_ in COMMANDS}
    app = build_app()
    for command, second in named:
        assert command in names
        if command in GROUPS and second:
            assert second in list(app[command])


@pytest.mark.parametrize("page", TEXTS)
def test_variables_that_are_named_are_settings(page: str) -> None:
    for name in set(re.findall(r"VEDETTE_([A-Z_]*[A-Z])", TEXTS[page])):
        section, _, field = name.lower().partition("__")
        assert section in Settings.model_fields, name
        if field:
            model = Settings.model_fields[section].annotation
            assert field in model.model_fields, name


def test_defaults_in_the_readme_are_those_of_the_settings() -> None:
    rows = re.findall(r"^\| `VEDETTE_([A-Z_]+)` \| `(.*?)` \|", TEXTS["README.md"], re.MULTILINE)
    assert len(rows) >= 4
    for name, default in rows:
        value: object = Settings()
        for part in name.lower().split("__"):
            value = getattr(value, part)
        assert default == str(value), name


@pytest.mark.parametrize("page", TEXTS)
def test_links_and_topics_lead_somewhere(page: str) -> None:
    folder = next(path.parent for path in PAGES if path.name == page)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXTS[page]):
        assert (folder / target).exists(), target
    known = {topic.name for topic in TOPICS}
    for name in set(re.findall(r"(?<!io\.)vedette\.[a-z]+\.v1\b", TEXTS[page])):
        assert name in known


def test_every_kind_of_finding_has_a_runbook() -> None:
    sections = set(re.findall(r"^## (\w+)$", TEXTS["runbooks.md"], re.MULTILINE))
    assert {kind for entry in registered() for kind in entry.kinds} <= sections


def test_the_page_of_runbooks_is_made_from_the_rules() -> None:
    assert TEXTS["runbooks.md"] == runbooks(load_rules())


def test_every_detector_is_explained() -> None:
    assert all(f"`{entry.name}`" in TEXTS["detection.md"] for entry in registered())


def test_the_webhook_example_verifies_what_we_sign() -> None:
    body = b'{"type":"alert"}'
    headers = Signer(SECRET, endpoint="x").headers("msg_1", int(time.time()), body)
    names: dict[str, object] = {"body": body, "headers": headers}
    exec(snippet("standardwebhooks").replace("whsec_...", SECRET), names)  # noqa: S102
    assert names["alert"] == {"type": "alert"}
