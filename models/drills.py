"""Drills: clients made from a reference, harmless ones that look like a search, and searches.

The student answers in the served model's stead, so no weights are needed. Attackers here are no
published attacks but the moves that these have in common: probes round a point of the boundary,
walks along it, and changes that are kept when they lower the margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.moves import MOVES, blocks
from models.variations import SHIFT, Motion, as_images, as_vectors, to_bytes, vary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from models.layout import Layout
    from models.moves import Move, Vector
    from models.student import Student


QUERIES = 64
#: Clients of each kind.
CLIENTS = 30
#: Harmless clients are rehearsed for longer: it is they who must not be alarmed.
HARMLESS_QUERIES = 128
_COPIES = (4, 8, 16)
#: Share of the searches that disguise each query.
_BLINDED_SHARE = 0.15
#: Copies as by any pipeline: what it makes of a reference may be foreign to it.
AUGMENTED = "augmented"


@dataclass(frozen=True, slots=True)
class Drill:
    """Queries (n, elements) of one client and the student's answers (n, classes)."""

    kind: str
    hostile: bool
    x: NDArray[np.uint8]
    logits: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a drill is made from: reduced inputs of a reference, and who answers."""

    x: NDArray[np.uint8]
    layout: Layout
    student: Student

    def pick(self, rng: Generator) -> NDArray[np.uint8]:
        """Return an input."""
        row = int(rng.integers(len(self.x)))
        return np.asarray(self.x[row], np.uint8)

    def label(self, x: Vector) -> int:
        """Answer one input with a class."""
        return int(self.student.logits(to_bytes(x)[None])[0].argmax())

    def margin(self, x: Vector, label: int) -> float:
        """Return by how much a class leads."""
        logits = self.student.logits(to_bytes(x)[None])[0]
        return float(logits[label] - np.delete(logits, label).max())


def harmless(scene: Scene, seed: int) -> Iterator[Drill]:
    """Yield clients whose queries resemble each other for good reasons."""
    rng = np.random.default_rng([seed, 1])
    for kind, (make, share) in _HARMLESS.items():
        for _ in range(share * CLIENTS):
            yield _drill(scene, kind, make(scene, rng), hostile=False)


def hostile(scene: Scene, seed: int) -> Iterator[Drill]:
    """Yield clients that search for an input that the student misreads, or that copy it."""
    rng = np.random.default_rng([seed, 2])
    for kind, move in MOVES.items():
        for number in range(CLIENTS):
            search = _SEARCHES[number % len(_SEARCHES)]
            x = search(scene, move, rng)
            yield _drill(scene, kind, _blinded(x, scene, rng), hostile=True)


def _drill(scene: Scene, kind: str, x: NDArray[np.uint8], *, hostile: bool) -> Drill:
    return Drill(kind, hostile, x, scene.student.logits(x))


def _copies(scene: Scene, rng: Generator) -> NDArray[np.uint8]:
    copies = int(rng.choice(_COPIES))
    groups = [
        np.repeat(scene.pick(rng)[None], copies, 0) for _ in range(-(-HARMLESS_QUERIES // copies))
    ]
    x = np.concatenate(groups)[:HARMLESS_QUERIES]
    strength = rng.uniform(0.3, 1.0)
    motion = Motion(strength * Motion.at_random(len(x), rng).where)
    varied = vary(x, scene.layout, motion, rng, sensor=0.0)
    varied[::copies] = x[::copies]
    return varied


def _augmented(scene: Scene, rng: Generator) -> NDArray[np.uint8]:
    copies = int(rng.choice(_COPIES))
    rows = rng.integers(0, len(scene.x), -(-HARMLESS_QUERIES // copies))
    x = np.repeat(scene.x[rows], copies, 0)[:HARMLESS_QUERIES]
    varied = _pipeline(x, scene.layout, rng)
    varied[::copies] = x[::copies]
    return varied


def _pipeline(x: NDArray[np.uint8], layout: Layout, rng: Generator) -> NDArray[np.uint8]:
    """Vary inputs as one augmentation pipeline does: it has some of the usual steps, not all."""
    strength = rng.uniform(0.3, 1.5) * (rng.random(5) < (0.6, 0.6, 0.4, 0.4, 0.6))
    sensor = float(rng.choice((0.0, 0.0, 1.0, 2.0)))
    if not layout.is_image:
        return vary(x, layout, Motion(rng.uniform(-1, 1, (len(x), 5))), rng, sensor=sensor)
    where = strength * Motion.at_random(len(x), rng).where
    if rng.random() < 0.4:
        sides = np.array([layout.height, layout.width]) * SHIFT
        where[:, :2] = np.rint(where[:, :2] * sides) / sides
    moved = as_images(vary(x, layout, Motion(where), rng, sensor=0.0), layout)
    if rng.random() < 0.2:
        mirrored = rng.random(len(x)) < 0.5
        moved[mirrored] = moved[mirrored, :, ::-1]
    tone = rng.uniform(-0.2, 0.2, (len(x), 1, 1, 1))
    match int(rng.integers(0, 5)):
        case 0:
            moved = moved + 255 * tone / 2
        case 1:
            middle = moved.mean(axis=(1, 2, 3), keepdims=True)
            moved = middle + (1 + tone) * (moved - middle)
        case 2:
            moved = 255 * (np.clip(moved, 0, 255) / 255) ** (1 + tone)
    noisy = moved + sensor * rng.standard_normal(moved.shape)
    return to_bytes(as_vectors(noisy, layout))


def _film(scene: Scene, rng: Generator) -> NDArray[np.uint8]:
    frames: list[NDArray[np.uint8]] = []
    sensor = float(rng.choice((0.0, 1.0))) * float(rng.uniform(0.3, 2.0))
    while sum(map(len, frames)) < HARMLESS_QUERIES:
        length = int(rng.integers(15, 80))
        # A scene goes farther out of sight than copies of it do.
        reach = rng.uniform(0.5, 1.8, 5)
        motion = Motion(reach * Motion.slow(length, rng, float(rng.uniform(0.02, 0.12))).where)
        scenery = np.repeat(scene.pick(rng)[None], length, 0)
        frames.append(vary(scenery, scene.layout, motion, rng, sensor=sensor))
    return np.concatenate(frames)[:HARMLESS_QUERIES]


def _uploads(scene: Scene, rng: Generator) -> NDArray[np.uint8]:
    rows = rng.integers(0, len(scene.x), int(rng.integers(6, 40)))
    rounds = []
    for _ in range(-(-HARMLESS_QUERIES // len(rows))):
        step = float(rng.choice((2, 4, 8, 12)))
        again = np.rint(scene.x[rng.permutation(rows)] / step) * step
        rounds.append(to_bytes(again + rng.normal(0, 0.5, again.shape) * (again > 0)))
    return np.concatenate(rounds)[:HARMLESS_QUERIES]


def _blinded(x: NDArray[np.uint8], scene: Scene, rng: Generator) -> NDArray[np.uint8]:
    """Move and light each query anew, as some searches do to look like copies."""
    if rng.random() >= _BLINDED_SHARE:
        return x
    strength = float(rng.uniform(0.2, 1.0))
    motion = Motion(strength * Motion.at_random(len(x), rng).where)
    return vary(x, scene.layout, motion, rng, sensor=0.0)


#: How harmless clients are made, and how many times `CLIENTS` of them. Of films most are no
#: likeness of anything, and a few, of odd scenes that shake, look most like a search.
_HARMLESS = {
    "copies": (_copies, 4),
    AUGMENTED: (_augmented, 6),
    "film": (_film, 10),
    "uploads": (_uploads, 4),
}


def _probe(scene: Scene, move: Move, rng: Generator) -> NDArray[np.uint8]:
    """Find the boundary between two inputs, then probe round it with labels alone."""
    x, other = scene.pick(rng).astype(float), scene.pick(rng).astype(float)
    label, asked = scene.label(x), [x, other]
    low, high = 0.0, 1.0
    for _ in range(6):
        middle = (low + high) / 2
        blend = (1 - middle) * x + middle * other
        asked.append(blend)
        low, high = (low, middle) if scene.label(blend) != label else (middle, high)
    current = (1 - high) * x + high * other
    size = float(np.exp(rng.uniform(np.log(4), np.log(60))))
    while len(asked) < QUERIES:
        candidate = current + size * move(scene.layout, rng)
        asked.append(candidate)
        if scene.label(candidate) != label:
            current = candidate + 0.1 * (x - candidate)
    return to_bytes(np.stack(asked))


def _descend(scene: Scene, move: Move, rng: Generator) -> NDArray[np.uint8]:
    """Keep the changes that lower the margin."""
    x = scene.pick(rng).astype(float)
    label, best = scene.label(x), x
    margin, asked = scene.margin(x, label), [x]
    size = float(np.exp(rng.uniform(np.log(10), np.log(80))))
    while len(asked) < QUERIES:
        candidate = np.clip(best + size * move(scene.layout, rng), 0, 255)
        asked.append(candidate)
        found = scene.margin(candidate, label)
        if found < margin:
            best, margin = candidate, found
    return to_bytes(np.stack(asked))


def _confine(scene: Scene, move: Move, rng: Generator) -> NDArray[np.uint8]:
    """Try corners of a box round an input, and keep those that lower the margin."""
    x = scene.pick(rng).astype(float)
    label, half = scene.label(x), float(np.exp(rng.uniform(np.log(8), np.log(50))))
    best = np.clip(x + half * np.sign(blocks(scene.layout, rng)), 0, 255)
    margin, asked = scene.margin(best, label), [x, best]
    while len(asked) < QUERIES:
        change = move(scene.layout, rng)
        candidate = np.where(change != 0, np.clip(x + half * np.sign(change), 0, 255), best)
        asked.append(candidate)
        found = scene.margin(candidate, label)
        if found < margin:
            best, margin = candidate, found
    return to_bytes(np.stack(asked))


def _aim(scene: Scene, move: Move, rng: Generator) -> NDArray[np.uint8]:
    """Search the boundary along one direction after the other, with labels alone."""
    x = scene.pick(rng).astype(float)
    label, asked = scene.label(x), [x]
    while len(asked) < QUERIES:
        change, low, high = move(scene.layout, rng), 0.0, float(rng.choice((64.0, 128.0, 255.0)))
        for _ in range(int(rng.integers(1, 8))):
            asked.append(np.clip(x + high * change, 0, 255))
            if scene.label(asked[-1]) == label:
                low, high = high, min(2 * high - low, 255.0)
            else:
                high = (low + high) / 2
    return to_bytes(np.stack(asked[:QUERIES]))


def _multiply(scene: Scene, move: Move, rng: Generator) -> NDArray[np.uint8]:
    """Ask about neighbours of a few inputs, and about neighbours of these: a copy learns so."""
    seeds = round(np.exp(rng.uniform(np.log(4), np.log(1.5 * QUERIES))))
    known = [scene.pick(rng).astype(float) for _ in range(seeds)]
    asked, size = list(known), float(np.exp(rng.uniform(np.log(8), np.log(50))))
    while len(asked) < max(QUERIES, 2 * seeds):
        source = known[len(asked) % len(known)]
        neighbour = np.clip(source + size * np.sign(move(scene.layout, rng)), 0, 255)
        asked.append(neighbour)
        known.append(neighbour)
    return to_bytes(np.stack(asked))


_SEARCHES = (_probe, _descend, _confine, _aim, _multiply)
