"""One run: everything measured one after the other, on one broker."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.pipeline.child import measure
from benchmarks.pipeline.events import Benign, bodies, client_names, fill
from benchmarks.pipeline.home import fresh_home
from benchmarks.pipeline.model import DigitsModel
from benchmarks.pipeline.offsets import Offsets
from benchmarks.pipeline.plan import EVENTS_PER_S
from benchmarks.pipeline.profile import make_profile
from benchmarks.pipeline.report import judged, machine
from benchmarks.pipeline.roles import RoleProcess, caught_up, consume_all
from benchmarks.pipeline.whole import Attacked, alert_latency, ordinary, run_whole
from config.settings import DetectSettings
from streams.topics import AUDIT, EVENTS, INTERACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.pipeline.plan import Plan
    from config.settings import Settings

    #: Told the name of a stage and the share of it that is done.
    Progress = Callable[[str, float], None]

#: Role, and the topic that it works off.
_STAGES = (("ingest", EVENTS), ("detect", INTERACTIONS), ("index", AUDIT))
STAGE_NAMES = (
    *("broker and profile", "events", "bare", "ingest", "detect", "index", "stock"),
    *("events for the whole", "whole", "latency", "memory"),
)
_PAST_S = 3 * 3600
_GAP_S = 60
_WARM_EVENTS = 800


async def run_pipeline(parent: Path, plan: Plan, progress: Progress) -> dict[str, Any]:
    """Measure and return the result.

    Parameters
    ----------
    parent
        Directory of the run's home, which is removed at the end.
    """
    described = machine()
    began_s = time.time()
    model = DigitsModel()
    pool = bodies(model, model.benign(plan.pictures, seed=6))
    with fresh_home(parent, DetectSettings(device="cpu")) as settings:
        make_profile(
            model,
            settings.profiles,
            settings.home / "keys",
            rows=plan.reference_rows,
            per_client_rate=plan.per_client_rate,
            progress=lambda _stage, share: progress("broker and profile", share),
        )
        benign = Benign(pool, client_names(plan.clients), seed=7)
        run = _Run(settings, plan, benign, progress, int((began_s - _PAST_S) * 1e6))
        result = await run.alone()
        noise = bodies(model, model.noise(plan.pictures // 4, seed=8))
        result |= await run.together(pool, noise)
        result |= await run.memory()
    return _complete(result, plan, described, time.time() - began_s)


class _Run:
    """The parts of a run, which share a broker and the time of events."""

    def __init__(
        self, settings: Settings, plan: Plan, benign: Benign, progress: Progress, start_us: int
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._benign = benign
        self._progress = progress
        self._start_us = start_us

    async def alone(self) -> dict[str, Any]:
        """Measure the CPU of the floor, of each role alone, and of the alternative."""
        events = self._plan.events
        result: dict[str, Any] = {}
        with _started([name for name, _ in _STAGES], self._settings) as roles:
            await self._warm_up(roles)
            await self._fill("events", events)
            result |= await self._measure("bare", str(events))
            async with Offsets(self._settings) as offsets:
                for role, (name, topic) in zip(roles, _STAGES, strict=True):
                    cpu_s = await consume_all(role, offsets, topic, self._tell(name))
                    result[f"{name}_us"] = cpu_s / events * 1e6
                    role.stop()
        arguments = (str(self._plan.stock_events), str(self._plan.clients))
        return result | await self._measure("stock", *arguments)

    async def together(self, pool: list[bytes], noise: list[bytes]) -> dict[str, Any]:
        """Measure the rate of the whole, and alert latency at half of it."""
        plan, settings = self._plan, self._settings
        settings.audit_database.unlink()
        with _started(["ingest", "detect", "index", "respond"], settings) as roles:
            await self._warm_up(roles)
            await self._fill("events for the whole", plan.events)
            rate = await run_whole(roles, settings.audit_database, plan.events, self._tell("whole"))
            attacked = Attacked(ordinary(pool, plan, rate / 2), noise, plan, rate / 2)
            latency = await alert_latency(settings, attacked, self._tell("latency"))
        return {"whole_events_per_s": rate, "alert_latency_s": latency}

    async def memory(self) -> dict[str, Any]:
        """Measure the state of the detectors."""
        plan = self._plan
        arguments = (str(self._settings.profiles), str(plan.memory_events))
        measured = await self._measure("memory", *arguments, str(plan.memory_clients))
        return {
            "state_bytes_per_client": measured["state_bytes_per_client"],
            "rss_growth_mb": measured["rss_growth_mb"],
            "memory": {**measured, "events": plan.memory_events},
        }

    async def _warm_up(self, roles: Sequence[RoleProcess]) -> None:
        """Bring the roles up, let them see some events, then let them stand still.

        What a role imports and compiles for its first event is start-up, not cost per event.
        """
        for role in roles:
            await role.ready()
        await self._fill("events", _WARM_EVENTS)
        async with Offsets(self._settings) as offsets:
            for role, (_, topic) in zip(roles, _STAGES, strict=False):
                await caught_up(role, offsets, topic)
        for role in roles:
            role.hold()

    async def _fill(self, stage: str, events: int) -> None:
        await fill(
            self._settings,
            self._benign,
            events,
            start_us=self._start_us,
            rate=EVENTS_PER_S,
            progress=lambda done: self._progress(stage, done / events),
        )
        self._start_us += int((events / EVENTS_PER_S + _GAP_S) * 1e6)

    async def _measure(self, module: str, *arguments: str) -> dict[str, float]:
        result = await measure(module, list(arguments), self._settings, self._tell(module))
        self._progress(module, 1.0)
        return result

    def _tell(self, stage: str) -> Callable[[float], None]:
        return lambda share: self._progress(stage, share)


@contextmanager
def _started(names: Sequence[str], settings: Settings) -> Iterator[list[RoleProcess]]:
    roles: list[RoleProcess] = []
    try:
        roles += (RoleProcess(name, settings) for name in names)
        yield roles
    finally:
        for role in roles:
            role.stop()


def _complete(
    result: dict[str, Any], plan: Plan, described: dict[str, Any], took_s: float
) -> dict[str, Any]:
    ours_us = result["ingest_us"] + result["detect_us"]
    result |= {
        "ratios": {
            "ingest_to_bare": result["ingest_us"] / result["bare_us"],
            "stock_to_ours": result["stock_us"] / ours_us,
        },
        "events": plan.events,
        "stock_events": plan.stock_events,
        "clients": plan.clients,
        "took_s": took_s,
        "machine": described,
    }
    return result | {"wanted": judged(result)}
