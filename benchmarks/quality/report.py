"""The evaluation as Markdown with pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.benign import CORRELATED
from benchmarks.quality.figures import Share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.quality.figures import Asking, Bursts, Floods, Result

PAGE = "detection-report.md"
PICTURES = "pictures"
_ATTACKS = (
    "threat",
    "family",
    "found",
    "named",
    "median",
    "p95",
    "wanted",
    "met",
    "before success",
)
_MET = {True: "yes", False: "**no**", None: "not disproved"}


def write(
    docs: Path,
    results: Sequence[Result],
    burst: Bursts | None,
    asking: Sequence[Asking],
    floods: Sequence[Floods],
    seed: int,
) -> Path:
    """Write the page and its pictures into ``docs``."""
    (docs / PICTURES).mkdir(parents=True, exist_ok=True)
    lines = [*_HEAD.format(seed=seed).splitlines(), ""]
    for result in results:
        _draw(docs / PICTURES / f"detection-{result.model}.png", result)
        lines += _model(result)
    lines += [*_traffic(burst), "", *_floods(floods), *_requests(asking)]
    path = docs / PAGE
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


_HEAD = """\
# Detection report

Made by `make evaluate` (seed {seed}); every figure is measured, with one set of thresholds for
all: the wanted run length of 60,000 events, and what calibration learned from the reference. No
threshold was set on these clients. Shares have Wilson intervals of 95 %. A client counts as found
with its first finding of any kind; *named* is the share with a finding of the threat's own kind.
Delays count the client's queries from its first hostile one. *before success* is the share of
attacks that reached their goal, but had been found by then; an attack that needs two to five
queries cannot be, and is not found later either, for it ends there. A share that is as wanted,
but whose interval reaches beyond it, is *not disproved*. The baselines are implemented from their
papers and see the first 250 queries of some of the same clients. Speed is measured by
`vedette bench pipeline`."""


def _model(result: Result) -> list[str]:
    names = list(result.benign[0].baselines)
    lines = [
        f"## {result.model}",
        "",
        f"{result.events:,} events; {result.bytes_per_client:,.0f} bytes of state a client.",
        "",
        f"![delays and false alarms]({PICTURES}/detection-{result.model}.png)",
        "",
        "### Benign clients that were flagged",
        "",
        _row(["kind", "flagged", "wanted", "met", "as", *names]),
        _row(["---"] * (5 + len(names))),
    ]
    for kind in result.benign:
        as_what = ", ".join(f"{name} {count}" for name, count in sorted(kind.kinds.items()))
        wanted = f"<= {kind.wanted:.1%}"
        cells = [kind.kind, str(kind.flagged), wanted, _MET[kind.met], as_what or "-"]
        lines.append(_row([*cells, *(_plain(kind.baselines[name]) for name in names)]))
    lines += [
        "",
        "### Attacks",
        "",
        _row([*_ATTACKS, *names]),
        _row(["---"] * (len(_ATTACKS) + len(names))),
    ]
    for threat in result.threats:
        cells = [threat.threat, threat.family, str(threat.found), _plain(threat.named)]
        cells += [_delay(threat.median), _delay(threat.p95), f"<= {threat.wanted}"]
        cells += [_MET[threat.met], _plain(threat.before) if threat.before.of else "-"]
        lines.append(_row([*cells, *(_plain(threat.baselines[name]) for name in names)]))
    return [*lines, "", *_together(result), *_adaptive(result), *_campaigns(result)]


def _together(result: Result) -> list[str]:
    """Sum the evasion families up."""
    threats = [threat for threat in result.threats if threat.threat == "evasion"]
    found, before = (
        Share(sum(share.count for share in part), sum(share.of for share in part))
        for part in ([t.found for t in threats], [t.before for t in threats])
    )
    delays = np.array([delay for threat in threats for delay in threat.delays])
    median, p95 = np.quantile(delays, [0.5, 0.95]) if len(delays) else (np.nan, np.nan)
    return [
        (
            f"All evasion families together: {found} found, median {_delay(median)} and p95 "
            f"{_delay(p95)} queries (wanted <= 7 and <= 30); {before} of the successful ones "
            "before their success (wanted >= 98 %)."
        ),
        "",
    ]


def _adaptive(result: Result) -> list[str]:
    if not result.adaptive:
        return []
    rows = [
        _row(
            [
                way.way,
                str(way.found),
                str(way.unnoticed),
                "<= 2.0%",
                ", ".join(map(str, way.queries)) or "-",
            ]
        )
        for way in result.adaptive
    ]
    return [
        "### Adaptive attackers",
        "",
        (
            "HopSkipJump, NES and Square in turn, hidden: by noise on each query, by shifting and "
            "lighting each query anew, among four benign queries each, over four accounts. The "
            "attackers are not told what the detectors think. The last column holds the hostile "
            "queries, over all accounts, of each attacker that won unnoticed: who wins with two "
            "or three cannot be told from chance in time."
        ),
        "",
        _row(["hidden by", "found", "success without alert", "wanted", "won with"]),
        _row(["---"] * 5),
        *rows,
        "",
    ]


def _campaigns(result: Result) -> list[str]:
    found = result.campaigns
    if found is None:
        return []
    text = (
        f"Fifty accounts of 40 queries, a third of them foreign, among {found.benign_clients:,} "
        f"benign clients: {found.accounts} of the accounts are named (wanted >= 95 %). "
        f"The suspects had sent {found.first_query_share:.0%} of the campaign's queries at the "
        f"first finding (wanted < 25 %). {found.strangers} benign clients are named with them. "
        f"Without the campaign: {found.benign_groups} findings (wanted 0)."
    )
    return ["### Campaigns", "", text, ""]


def _traffic(burst: Bursts | None) -> list[str]:
    if burst is None:
        return ["## Bursts", "", "Not measured in this run.", ""]
    lines = [
        "## Bursts",
        "",
        (
            "Stretches of real clients (ServeGen), with a day of past windows and seven judged "
            "hours, without a reference. How far above its own peaks a client may go was set on "
            "every other client; these here are the rest. Bursts last 60 s at a multiple of the "
            "client's own ten-second peak; slow rises go, by the same share each minute, to ten "
            "times its mean."
        ),
        "",
        _row(["hours without an attack", "false client-hours (wanted <= 1 %)"]),
        _row(["---"] * 2),
        *[_row([name, str(share)]) for name, share in burst.false_hours.items()],
        "",
        _row(["burst or rise", "found", "median", "p95"]),
        _row(["---"] * 4),
    ]
    for name, share in burst.found.items():
        delays = [_duration(burst.median_s[name]), _duration(burst.p95_s[name])]
        lines.append(_row([name, str(share), *delays]))
    lines += ["", _row(["baseline", "false client-hours"]), _row(["---"] * 2)]
    lines += [_row([name, str(share)]) for name, share in burst.baselines.items()]
    return [*lines, "", "Wanted: 99 % at 3x with a median of 3 s and a p95 of 10 s; 90 % at 2x."]


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _floods(floods: Sequence[Floods]) -> list[str]:
    """Return the section on floods of many quiet clients."""
    if not floods:
        return []
    lines = [
        "## Floods",
        "",
        (
            "Real clients (ServeGen) with made-up networks, agents, keys, templates and tenants, "
            "and among them accounts that each send a request every 20 s for ten minutes. *other* "
            "counts findings in all hours that are not about the flood, *strangers* real clients "
            "named with it. What is popular or a tenant is shared with real clients too."
        ),
        "",
        _row(["flood", "found", "median", "accounts named", "strangers", "other", "hours"]),
        _row(["---"] * 7),
    ]
    for flood in floods:
        median = f"{np.median(flood.delays_s):.1f} s" if flood.delays_s else "-"
        named = f"{np.mean(flood.named):.0%}" if flood.named else "-"
        cells = [str(flood.found or "-"), median, named, str(flood.strangers), str(flood.false)]
        lines.append(_row([flood.name, *cells, f"{flood.hours:.0f}"]))
    return [*lines, ""]


def _requests(asking: Sequence[Asking]) -> list[str]:
    """Return the section on what clients ask for beyond an answer."""
    lines = [
        "## Requests",
        "",
        (
            "Made-up clients of a language model, 200 requests each. Delays count requests with a "
            "bias, log-probabilities or several samples; half of the hostile ones' are ordinary."
        ),
        "",
        _row(["kind", "found", "median", "p95"]),
        _row(["---"] * 4),
    ]
    for kind in asking:
        quantiles = np.quantile(kind.delays, [0.5, 0.95]) if kind.delays else [float("nan")] * 2
        cells = [kind.kind, str(kind.found), *(_delay(float(q)) for q in quantiles)]
        lines.append(_row(cells))
    return lines


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _delay(queries: float) -> str:
    return "-" if np.isnan(queries) else f"{queries:.0f}"


def _plain(share: Share) -> str:
    return f"{share.value:.0%}" if share.of else "-"


def _draw(path: Path, result: Result) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only needed here

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    families = [threat.family for threat in result.threats][::-1]
    for place, threat in enumerate(result.threats[::-1]):
        delays = np.maximum(np.array(threat.delays), 1)
        left.plot(delays, np.full(len(delays), place), "o", color="#1f3b5c", alpha=0.35)
        left.plot([threat.wanted], [place], "|", color="#b03030", markersize=14)
    left.set(xscale="log", xlabel="queries to the first finding; red: wanted median")
    left.set_yticks(range(len(families)), families)
    left.grid(axis="x", alpha=0.3)
    kinds = [kind.kind for kind in result.benign]
    colours = ["#9db7d5" if kind in CORRELATED else "#1f3b5c" for kind in kinds]
    right.bar(kinds, [100 * kind.flagged.value for kind in result.benign], color=colours)
    right.set(ylabel="benign clients flagged, %")
    right.tick_params(axis="x", rotation=40)
    figure.savefig(path, dpi=110, metadata={"Software": None})
