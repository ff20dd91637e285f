"""From files to a rule set: parsed, validated, tested, or refused as a whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

import config
from config.errors import ConfigError
from config.techniques import entries
from streams.respond.severity import RANK
from streams.rules.errors import RuleError
from streams.rules.fallback import FALLBACK
from streams.rules.match import bounded, matches
from streams.rules.model import Example, Rule
from streams.rules.yaml_source import Source, read_yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from detectors.finding import Finding

MAX_FILES = 256
MAX_CACHED = 4096
#: Rules that come with Vedette.
BUILT_IN = Path(config.__file__).with_name("rules")


class Taken(NamedTuple):
    """Whose a finding is; ``rule`` is None if it is only of rules in shadow."""

    rule: Rule | None
    shadows: tuple[Rule, ...]


class _Placed(NamedTuple):
    """A rule, and where it is written."""

    rule: Rule
    source: Source
    path: str

    def error(self, field: str, what: str) -> RuleError:
        """Return what is wrong with a field, with its line."""
        return RuleError(self.source.file, self.source.line_of(f"{self.path}.{field}"), what)


class Tried(NamedTuple):
    """How one example of a rule went; ``complaint`` is empty if it passed."""

    file: str
    line: int | None
    rule: str
    example: str
    complaint: str


@dataclass(frozen=True)
class RuleSet:
    """Rules in force, immutable; the first active one that matches takes a finding.

    Attributes
    ----------
    digest
        Short hash of the files, the version of the set.
    """

    rules: tuple[Rule, ...]
    digest: str
    _cache: dict[tuple[object, ...], Taken] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def by_id(self) -> Mapping[str, Rule]:
        """All rules by id, the fallback included."""
        return {rule.id: rule for rule in (*self.rules, FALLBACK)}

    @cached_property
    def inhibitors(self) -> Mapping[str, tuple[str, ...]]:
        """For each rule, those that inhibit it; one in shadow inhibits nothing."""
        active = [rule for rule in self.rules if rule.mode == "active"]
        return {
            name: tuple(rule.id for rule in active if name in rule.inhibits) for name in self.by_id
        }

    def take(self, finding: Finding) -> Taken:
        """Return the rule that takes a finding, and the shadow rules that would have.

        No finding goes unseen: what no rule matches falls to `FALLBACK`. What only shadow rules
        match is theirs alone, so that a rule can be moved into shadow without becoming louder.
        """
        key = (
            finding.kind,
            finding.severity,
            finding.detector,
            finding.run_length,
            finding.model,
            finding.tenant,
            finding.subject.type,
        )
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            found = self._cache[key] = self._take(finding)
        return found

    def _take(self, finding: Finding) -> Taken:
        matching = [rule for rule in self.rules if matches(rule, finding, finding.subject.type)]
        active = [rule for rule in matching if rule.mode == "active"]
        shadow = tuple(rule for rule in matching if rule.mode == "shadow")
        if active:
            return Taken(active[0], shadow)
        return Taken(None if shadow else FALLBACK, shadow)


def load_rules(
    directories: Sequence[Path] = (BUILT_IN,), sinks: Collection[str] | None = None
) -> RuleSet:
    """Load every ``*.yaml`` of the directories; a later one may replace rules of an earlier one.

    Parameters
    ----------
    directories
        Where to look.
    sinks
        Names that ``routes`` may hold; None permits all.

    Raises
    ------
    RuleError
        If anything at all is wrong; nothing is loaded by halves.
    """
    chosen: dict[str, _Placed] = {}
    digest = hashlib.sha256()
    for directory in directories:
        own: dict[str, _Placed] = {}
        for file, data in _files(directory):
            digest.update(data)
            for placed in _parsed(file, data):
                name = placed.rule.id
                if name in own:
                    raise placed.error("id", f"there is another rule {name!r}")
                own[name] = placed
        chosen.update(own)
    for placed in chosen.values():
        _check_references(placed, chosen)
        _check_routes(placed, sinks)
    rules = tuple(placed.rule for placed in chosen.values())
    return RuleSet(rules, digest.hexdigest()[:12])


def parse(file: str, data: bytes) -> tuple[Rule, ...]:
    """Parse, validate and test the rules of one file.

    Raises
    ------
    RuleError
        With the line of what is wrong.
    """
    return tuple(placed.rule for placed in _parsed(file, data))


def _parsed(file: str, data: bytes) -> list[_Placed]:
    source = read_yaml(file, data)
    placed = _placed(source)
    for one in placed:
        _check(one)
    for tried in _try(placed):
        if tried.complaint:
            what = f"a test of rule {tried.rule} fails: {tried.complaint}"
            raise RuleError(tried.file, tried.line, what)
    return placed


def try_examples(directories: Sequence[Path]) -> Iterator[Tried]:
    """Run the examples of all rules, of those that are right but for their examples too.

    Raises
    ------
    RuleError
        If a file cannot be read as rules.
    """
    for directory in directories:
        for file, data in _files(directory):
            yield from _try(_placed(read_yaml(file, data)))


def _placed(source: Source) -> list[_Placed]:
    try:
        rules = msgspec.convert(source.value, tuple[Rule, ...])
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        raise RuleError(source.file, source.line_of(path.rstrip("`") or "$"), what) from None
    return [_Placed(rule, source, f"$[{number}]") for number, rule in enumerate(rules)]


def _try(placed: Iterable[_Placed]) -> Iterator[Tried]:
    for rule, source, path in placed:
        for number, example in enumerate(rule.tests):
            line = source.line_of(f"{path}.tests[{number}]")
            yield Tried(source.file, line, rule.id, example.name, _complaint(rule, example))


def _complaint(rule: Rule, test: Example) -> str:
    matched = matches(rule, test.finding, test.finding.subject)
    if matched != test.matches:
        return f"{test.name}: the rule {'matches' if matched else 'does not match'}"
    severity = bounded(rule, test.finding.severity)
    if matched and test.severity is not None and severity != test.severity:
        return f"{test.name}: the severity is {severity}, not {test.severity}"
    return ""


def _check(placed: _Placed) -> None:
    rule = placed.rule
    for name, ids in (("atlas", rule.atlas), ("owasp", rule.owasp)):
        try:
            entries("atlas" if name == "atlas" else "owasp", ids)
        except ConfigError as error:
            raise placed.error(name, str(error)) from None
    if RANK[rule.severity.floor] > RANK[rule.severity.ceiling]:
        raise placed.error("severity", "the floor of the severity lies above its ceiling")
    if {test.matches for test in rule.tests} != {True, False}:
        raise placed.error("tests", "tests need an example that matches and one that not")


def _check_references(placed: _Placed, rules: Collection[str]) -> None:
    for name in placed.rule.inhibits:
        if name not in rules or name == placed.rule.id:
            raise placed.error("inhibits", f"it inhibits {name!r}, no other rule")


def _check_routes(placed: _Placed, sinks: Collection[str] | None) -> None:
    """Refuse routes to sinks that are not there: nobody would be told."""
    for name in placed.rule.routes if sinks is not None else ():
        if name not in (sinks or ()):
            raise placed.error("routes", f"it is routed to {name!r}, no sink")


def _files(directory: Path) -> Iterable[tuple[str, bytes]]:
    try:
        paths = sorted(directory.glob("*.yaml"))
        if not paths:
            raise RuleError(str(directory), None, "no *.yaml files lie there")
        if len(paths) > MAX_FILES:
            raise RuleError(str(directory), None, f"more than {MAX_FILES} files")
        return [(path.name, path.read_bytes()) for path in paths]
    except OSError as error:
        raise RuleError(str(directory), None, f"cannot be read ({type(error).__name__})") from None
