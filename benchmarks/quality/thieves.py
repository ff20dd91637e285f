"""Clients that copy the model, ask for its training set, or mix hostile inputs into benign ones.

References
----------
Orekondy, Schiele, Fritz, Knockoff Nets, 2019. Papernot et al., Practical Black-Box Attacks, 2017
(JBDA). Truong et al., Data-Free Model Extraction, 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.quality.benign import shifted
from models.device import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.quality.victims import Victim

    Thief = Callable[[Victim, Generator, int], NDArray[np.uint8]]

#: Images that a Jacobian-based attacker begins with; synthetic ones follow.
SEEDS = 100
MEMBER_SHARE = 0.2
DRIFT_SHARE = 0.2


def noise(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Ask with uniform noise."""
    return rng.integers(0, 256, (queries, *victim.benign.shape[1:]), dtype=np.uint8)


def generator(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Ask with what an untrained generator makes: smooth patterns."""
    side = victim.benign.shape[1]
    coarse = torch.from_numpy(rng.standard_normal((queries, 1, 4, 4))).float()
    smooth = functional.interpolate(coarse, (side, side), mode="bicubic")[:, 0]
    return (255 * torch.sigmoid(2.5 * smooth)).round().to(torch.uint8).numpy()


def knockoff(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Ask with grey photographs: here, random shapes under uneven light."""
    side = victim.benign.shape[1]
    y, x = np.mgrid[:side, :side] / side
    images = []
    for _ in range(queries):
        image = 120 + 60 * (rng.normal() * x + rng.normal() * y)
        for _ in range(int(rng.integers(3, 9))):
            cx, cy, r = rng.uniform(0, 1, 3)
            image = np.where((x - cx) ** 2 + (y - cy) ** 2 < 0.3 * r**2, rng.uniform(0, 255), image)
        images.append(np.clip(image + rng.normal(0, 5, image.shape), 0, 255))
    return np.stack(images).astype(np.uint8)


def similar_domain(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Ask with images of the same domain from elsewhere."""
    return victim.similar[rng.integers(0, len(victim.similar), queries)]


def mixed(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Hide foreign images among as many benign ones."""
    foreign = knockoff(victim, rng, queries)
    benign = victim.hostile[rng.integers(0, len(victim.hostile), queries)]
    return np.where((rng.random(queries) < 0.5)[:, None, None], foreign, benign)


def jacobian(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """Augment some images along a substitute's Jacobian (JBDA)."""
    known = victim.hostile[rng.integers(0, len(victim.hostile), min(SEEDS, queries))]
    while len(known) < queries:
        signs = _gradient_signs(known, victim.labels(known), int(rng.integers(1 << 30)))
        stepped = np.clip(known + 25.5 * signs * rng.choice((-1, 1), (len(known), 1, 1)), 0, 255)
        known = np.concatenate([known, np.rint(stepped).astype(np.uint8)])
    return known[:queries]


def colluding(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
    """One account of a campaign: a third of its queries is foreign."""
    foreign = knockoff(victim, rng, queries)
    benign = victim.hostile[rng.integers(0, len(victim.hostile), queries)]
    return np.where((rng.random(queries) < 1 / 3)[:, None, None], foreign, benign)


def _members(change: Callable[[NDArray[np.uint8], Generator], NDArray[np.uint8]]) -> Thief:
    def probe(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
        members = victim.members[rng.integers(0, len(victim.members), queries)]
        benign = victim.hostile[rng.integers(0, len(victim.hostile), queries)]
        share = rng.random(queries) < MEMBER_SHARE
        return np.where(share[:, None, None], change(members, rng), benign)

    return probe


def add_noise(x: NDArray[np.uint8], rng: Generator, sigma: float = 0.1) -> NDArray[np.uint8]:
    """Add Gaussian noise, sigma in [0, 1]."""
    noisy = x + 255 * sigma * rng.standard_normal(x.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def shift_one(x: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Shift each image by one pixel in a random direction."""
    moves = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])[rng.integers(0, 4, len(x))]
    parts = [shifted(image.astype(np.float64), at) for image, at in zip(x, moves, strict=True)]
    return np.stack(parts).astype(np.uint8)


def _mixing(change: Callable[[Victim, NDArray[np.uint8], Generator], NDArray[np.uint8]]) -> Thief:
    def mix(victim: Victim, rng: Generator, queries: int) -> NDArray[np.uint8]:
        benign = victim.hostile[rng.integers(0, len(victim.hostile), queries)]
        share = rng.random(queries) < DRIFT_SHARE
        return np.where(share[:, None, None], change(victim, benign, rng), benign)

    return mix


def fast_gradient(victim: Victim, x: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """One signed step of 0.1 along a substitute's gradient (FGSM, transferred)."""
    signs = _gradient_signs(x, victim.labels(x), int(rng.integers(1 << 30)))
    return np.clip(np.rint(x + 25.5 * signs), 0, 255).astype(np.uint8)


def blurred(_victim: Victim, x: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:  # noqa: ARG001
    """Blur, and lose contrast."""
    wide = x.astype(np.float64)
    for _ in range(3):
        wide = (wide + np.roll(wide, 1, 1) + np.roll(wide, 1, 2) + np.roll(wide, -1, 1)) / 4
    return np.clip(np.rint(0.5 * wide + 40), 0, 255).astype(np.uint8)


EXTRACTION: dict[str, Thief] = {
    "noise": noise,
    "generator": generator,
    "foreign images": knockoff,
    "similar domain": similar_domain,
    "half foreign": mixed,
    "JBDA": jacobian,
}
MEMBERSHIP: dict[str, Thief] = {
    "members": _members(lambda x, rng: x),  # noqa: ARG005
    "noisy members": _members(add_noise),
    "shifted members": _members(shift_one),
}
DRIFT: dict[str, Thief] = {
    "FGSM": _mixing(fast_gradient),
    "noise .1": _mixing(lambda _victim, x, rng: add_noise(x, rng)),
    "blur": _mixing(blurred),
}


def _gradient_signs(
    x: NDArray[np.uint8], label: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Return the signs of a substitute's loss gradient at (x, label)."""
    torch.manual_seed(seed)
    given = torch.from_numpy(x.reshape(len(x), -1)).float() / 255.0
    wanted = torch.from_numpy(label)
    net = nn.Sequential(nn.Linear(given.shape[1], 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    with one_thread():
        for _ in range(40):
            optimiser.zero_grad()
            functional.cross_entropy(net(given), wanted).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    given.requires_grad_()
    functional.cross_entropy(net(given), wanted).backward()  # type: ignore[no-untyped-call]
    assert given.grad is not None  # noqa: S101 - set by backward
    return np.asarray(np.sign(given.grad.numpy().reshape(x.shape)), np.float64)
