"""The page of runbooks, made from the rules: what it says and what the rules do cannot differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.selfwatch.conditions import CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.rules.load import RuleSet
    from streams.rules.model import Rule
    from streams.selfwatch.conditions import Condition

HEAD = """\
# Runbooks

Made by `vedette rules docs` from the rules in `config/rules`; do not edit it by hand.

Every alert names the section of its rule. First look at the evidence, then act, then close the
loop: `vedette alerts ack`, `vedette alerts resolve` or `vedette alerts false-positive`.

```
vedette alerts show ALERT_ID                    # numbers, subject, interactions
vedette audit search --client CLIENT --since 2h # what the client did around it
vedette audit show INTERACTION_ID               # one interaction
vedette verdicts lift CLIENT --reason TEXT      # let a client in again, whatever is found
```

Verdicts end by themselves. Gateways only log them while `VEDETTE_RESPOND__VERDICT_SHADOW` is true,
which is the default.
"""

WATCH_HEAD = """\
# The watch itself

These alerts are about Vedette, not about a client. Where they say so, detection may be blind: treat
silence of the other rules with care until they are resolved.
"""


def runbooks(rules: RuleSet) -> str:
    """Return the whole page."""
    parts = [HEAD, *(_rule(rule) for rule in rules.by_id.values()), WATCH_HEAD]
    parts += [_condition(condition) for condition in CONDITIONS.values()]
    return "\n".join(parts)


def _rule(rule: Rule) -> str:
    book = rule.runbook
    facts = (
        f"`{rule.id}` version {rule.version}, {rule.maturity}, {rule.mode}; strongest verdict: "
        f"{rule.response or 'none'}; resolved after {rule.window_s / 60:.0f} quiet minutes."
    )
    tags = ", ".join((*rule.atlas, *rule.owasp))
    return _section(
        rule.id,
        f"**{rule.title}.** {book.meaning}",
        facts + (f" {tags}." if tags else ""),
        {"Look": book.look, "May be harmless": book.false_positives, "Do": book.respond},
    )


def _condition(condition: Condition) -> str:
    return _section(
        condition.name,
        f"**{condition.title}.** {condition.meaning}",
        f"Severity {condition.severity}.",
        {"Do": condition.respond},
    )


def _section(name: str, text: str, facts: str, lists: dict[str, Sequence[str]]) -> str:
    lines = [f"## {name}", text, "", facts, ""]
    for title, items in lists.items():
        lines += [f"{title}:", *_bullets(items), ""]
    return "\n".join(lines)


def _bullets(items: Iterable[str]) -> list[str]:
    return [f"- {item}" for item in items]
