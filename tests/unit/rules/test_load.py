"""Rule files are right as a whole or refused with the line of what is wrong."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from detectors.registry import registered
from streams.rules.errors import RuleError
from streams.rules.fallback import FALLBACK
from streams.rules.load import BUILT_IN, load_rules, parse
from streams.rules.reload import Rules
from streams.rules.yaml_source import MAX_DEPTH, read_yaml
from tests.unit.respond.samples import finding

GOOD = (BUILT_IN / "burst.yaml").read_text()


def refused(text: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        parse("mine.yaml", text.encode())
    return caught.value


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


def test_the_rules_that_come_with_vedette_are_right_and_their_tests_pass():
    assert len(load_rules().rules) >= 7


def test_the_example_in_the_documentation_is_a_rule_whose_tests_pass():
    page = (BUILT_IN.parents[1] / "docs" / "alerts.md").read_text()
    (rule,) = parse("alerts.md", page.partition("```yaml\n")[2].partition("```")[0].encode())
    assert rule.routes == ("oncall",)


def test_every_kind_of_finding_of_every_detector_has_a_rule():
    rules = load_rules()
    for entry in registered():
        for kind, meaning in entry.kinds.items():
            item = finding(kind=kind, detector=entry.name, severity=meaning.severity)
            assert rules.take(item)[0] is not FALLBACK, kind


def test_what_no_rule_takes_falls_to_the_fallback():
    assert load_rules().take(finding(kind="never heard of"))[0] is FALLBACK


@pytest.mark.parametrize(
    ("before", "after", "part", "says"),
    [
        ("version: 1", "version: one", "version: one", "Expected `int`"),
        ("version: 1", "version: 0", "version: 0", ">= 1"),
        ("maturity: stable", "maturity: solid", "maturity: solid", "Invalid enum value"),
        ("window_s: 900", "windows: 900", "id: burst", "unknown field `windows`"),
        ("AML.T0029", "AML.T9999", "AML.T9999", "does not list AML.T9999"),
        ("response: throttle", "response: shoot", "response: shoot", "Invalid enum value"),
        ("id: burst", "id: Burst!", "id: Burst!", "matching regex"),
        ("kind: drift", "kind: burst", "another kind of finding", "the rule matches"),
        ("{kind: burst", "{kind: drift", "a client that does it", "the rule does not match"),
        ("severity: high\n", "severity: low\n", "a client that does it", "is high, not low"),
        ("kinds: [burst]", "kinds: []", "kinds: []", "length >= 1"),
        ("  title:", "  title: x\n  title:", "title: Request burst", "there twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(before, after, part, says):
    text = GOOD.replace(before, after, 1)
    error = refused(text)
    assert says in str(error)
    assert error.line == line_of(text, part)
    assert str(error).startswith(f"mine.yaml:{error.line}: ")


def test_a_rule_needs_an_example_that_matches_and_one_that_does_not():
    text = GOOD.replace("matches: false", "matches: true").replace("kind: drift", "kind: burst")
    assert "one that not" in str(refused(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- &a [1]\n- *a\n", "aliases"),
        ("[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5), "levels deep"),
        ("- !!python/object/apply:os.system [id]\n", "Expected `object`, got `array`"),
        ("{a: 1", "expected ',' or '}'"),
        ("- a\n\tb", "found character"),
        ("just text", "Expected `array`"),
        ("? [a, b]\n: 1\n", "plain word"),
        ("x" * 300_000, "at most"),
    ],
)
def test_hostile_yaml_is_refused(text, says):
    assert says in str(refused(text))


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_read_or_refused(data):
    try:
        read_yaml("any.yaml", data)
    except RuleError:
        return


def write(directory, name="mine.yaml", **changes):
    text = GOOD
    for before, after in changes.items():
        text = text.replace(f"{before}: ", f"{before}: {after} #", 1)
    (directory / name).write_text(text)


def test_rules_of_ones_own_replace_those_that_come_with_vedette(tmp_path):
    write(tmp_path, version=7)
    rules = load_rules((BUILT_IN, tmp_path))
    assert rules.by_id["burst"].version == 7
    assert len(rules.rules) == len(load_rules().rules)


def test_a_rule_moved_into_shadow_does_not_become_an_unmatched_alert(tmp_path):
    (tmp_path / "a.yaml").write_text(GOOD.replace("  title", "  mode: shadow\n  title", 1))
    taken = load_rules((BUILT_IN, tmp_path)).take(finding(kind="burst"))
    assert taken.rule is None
    assert [rule.id for rule in taken.shadows] == ["burst"]


def test_a_rule_may_only_be_routed_to_sinks_that_exist(tmp_path):
    text = GOOD.replace("  response", "  routes: [oncall]\n  response")
    (tmp_path / "a.yaml").write_text(text)
    assert load_rules((tmp_path,), {"oncall"}).by_id["burst"].routes == ("oncall",)
    with pytest.raises(RuleError, match="routed to 'oncall', no sink") as caught:
        load_rules((tmp_path,), {"chat"})
    assert (caught.value.file, caught.value.line) == ("a.yaml", line_of(text, "routes:"))


def test_two_rules_of_one_id_are_refused(tmp_path):
    write(tmp_path, "one.yaml")
    write(tmp_path, "two.yaml")
    with pytest.raises(RuleError, match=r"two\.yaml:\d+: there is another rule 'burst'"):
        load_rules((tmp_path,))


def test_a_rule_may_only_inhibit_rules_that_exist(tmp_path):
    (tmp_path / "a.yaml").write_text(
        GOOD.replace("  response", "  inhibits: [nothing]\n  response")
    )
    with pytest.raises(RuleError, match=r"a\.yaml:\d+: it inhibits 'nothing'"):
        load_rules((tmp_path,))


def test_a_shadow_rule_is_asked_and_takes_nothing(tmp_path):
    shadowed = GOOD.replace("id: burst", "id: burst-new").replace(
        "  title", "  mode: shadow\n  title"
    )
    (tmp_path / "a.yaml").write_text(shadowed)
    rule, shadows = load_rules((BUILT_IN, tmp_path)).take(finding(kind="burst"))
    assert rule.id == "burst"
    assert [other.id for other in shadows] == ["burst-new"]


@pytest.mark.parametrize(
    ("field", "changes", "taken"),
    [
        ("models: [digits]", {"model": "digits"}, True),
        ("models: [dig*]", {"model": "digits"}, True),
        ("models: [iris]", {"model": "digits"}, False),
        ("tenants: [t1]", {"tenant": None}, False),
        ("detectors: [traffic.burst]", {"detector": "other"}, False),
        ("min_severity: critical", {"severity": "high"}, False),
        ("min_run_length: 70000", {"run_length": 60_000}, False),
        ("subjects: [model]", {}, False),
    ],
)
def test_filters_of_a_rule(tmp_path, field, changes, taken):
    # The example must go on matching: the filters are tried on a rule that is only parsed.
    (rule,) = msgspec.convert(
        read_yaml("x", GOOD.replace("  response", f"  {field}\n  response").encode()).value,
        tuple[type(FALLBACK), ...],
    )
    from streams.rules.match import matches

    item = finding(kind="burst", **changes)
    assert matches(rule, item, "client") == taken


def reloads(result):
    return REGISTRY.get_sample_value("vedette_rules_reload_total", {"result": result})


def test_a_change_is_taken_over_and_a_mistake_keeps_the_old_rules(tmp_path):
    write(tmp_path, version=2)
    rules = Rules((BUILT_IN, tmp_path))
    assert not rules.refresh()
    write(tmp_path, version=3)
    good, bad = reloads("ok"), reloads("error")
    assert rules.refresh()
    assert rules.current.by_id["burst"].version == 3
    (tmp_path / "mine.yaml").write_text("nonsense: [")
    assert not rules.refresh()
    assert rules.current.by_id["burst"].version == 3
    assert (reloads("ok"), reloads("error")) == (good + 1, bad + 1)
    write(tmp_path, version=4)
    assert rules.refresh()
    assert rules.current.by_id["burst"].version == 4


def test_a_swapped_symlink_is_seen(tmp_path):
    for name, number in (("one", 2), ("two", 5)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, version=number)
    link = tmp_path / "now"
    link.symlink_to(tmp_path / "one")
    rules = Rules((BUILT_IN, link))
    link.unlink()
    link.symlink_to(tmp_path / "two")
    assert rules.refresh()
    assert rules.current.by_id["burst"].version == 5


def test_wrong_rules_at_the_start_stop_the_worker(tmp_path):
    (tmp_path / "a.yaml").write_text("- id: 7")
    with pytest.raises(RuleError):
        Rules((BUILT_IN, tmp_path))


async def test_the_directory_is_watched(tmp_path):
    write(tmp_path, version=2)
    rules = Rules((BUILT_IN, tmp_path))
    watching = asyncio.create_task(rules.watch(0.01))
    try:
        write(tmp_path, version=9)
        for _ in range(500):
            if rules.current.by_id["burst"].version == 9:
                break
            await asyncio.sleep(0.01)
        assert rules.current.by_id["burst"].version == 9
    finally:
        watching.cancel()
