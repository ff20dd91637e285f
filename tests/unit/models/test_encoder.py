"""The encoder gives the same bits for an input wherever it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models import student
from models.encoder import Encoder
from models.inputs import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPES = {
    "flat uint8": ((30,), np.uint8),
    "long vector": ((300,), np.float32),
    "grey image": ((28, 28), np.uint8),
    "colour image": ((3, 16, 16), np.float32),
    "large image": ((80, 90, 3), np.uint8),
}


def reference(shape: tuple[int, ...], dtype: type, rows: int = 300) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (rows, *shape)).astype(np.uint8)
    scores = rng.dirichlet(np.ones(3), rows).astype(np.float32)
    return (x if dtype is np.uint8 else (x / 7 - 5).astype(dtype)), scores


@pytest.fixture(scope="module", autouse=True)
def short_training() -> Iterator[None]:
    """Train for a moment: what is tested here does not depend on what was learnt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(student, "MAX_EPOCHS", 3)
        yield


@pytest.fixture(scope="module", params=SHAPES)
def fitted(request: pytest.FixtureRequest) -> tuple[Encoder, np.ndarray]:
    x, scores = reference(*SHAPES[request.param])
    return Encoder.fit(x, scores, seed=3), np.tile(x, (2, *[1] * (x.ndim - 1)))[:512]


@pytest.fixture(scope="module")
def small() -> tuple[Encoder, np.ndarray]:
    """An encoder of 8 x 8 images; tests must change neither."""
    x, scores = reference((8, 8), np.uint8)
    x.setflags(write=False)
    return Encoder.fit(x, scores), x


@pytest.mark.parametrize("rows", [1, 7, 64, 512])
def test_batch_size_changes_no_bit(fitted: tuple[Encoder, np.ndarray], rows: int) -> None:
    encoder, x = fitted
    sketch, embedding = encoder.encode(x)
    for start in range(0, min(len(x), 8 * rows), rows):
        cut = slice(start, start + rows)
        part = encoder.encode(x[cut])
        np.testing.assert_array_equal(part[0], sketch[cut])
        np.testing.assert_array_equal(part[1], embedding[cut])


def test_position_in_the_batch_changes_no_bit(fitted: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = fitted
    sketch, embedding = encoder.encode(x)
    order = np.random.default_rng(0).permutation(len(x))
    moved = encoder.encode(x[order])
    np.testing.assert_array_equal(moved[0], sketch[order])
    np.testing.assert_array_equal(moved[1], embedding[order])


def test_threads_change_no_bit(fitted: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = fitted
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(encoder.encode(x))
    torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_sums_in_float32_are_exact(fitted: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = fitted
    # exact integers in any order of additions: double precision must agree everywhere
    exact = encoder._front.weight.double()
    for row in x[:5]:
        values = torch.from_numpy(encoder._inputs.quantise(row.reshape(1, -1)))
        if encoder._pool:
            continue
        single = torch.addmm(encoder._front.bias, values.float(), encoder._front.weight)
        double = torch.addmm(encoder._front.bias.double(), values.double(), exact)
        assert torch.equal(single.double(), double)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_bits_of_the_cpu(fitted: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = fitted
    on_cpu = encoder.encode(x)
    on_cuda = encoder.to(torch.device("cuda")).encode(x)
    encoder.to(torch.device("cpu"))
    np.testing.assert_array_equal(on_cpu[0], on_cuda[0])
    np.testing.assert_array_equal(on_cpu[1], on_cuda[1])


def test_a_saved_encoder_gives_the_same_bits(
    fitted: tuple[Encoder, np.ndarray], tmp_path: object
) -> None:
    encoder, x = fitted
    path = tmp_path / "encoder.safetensors"  # type: ignore[operator]
    encoder.save(path)
    loaded = Encoder.load(path)
    for one, other in zip(encoder.encode(x), loaded.encode(x), strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.shape == encoder.shape
    assert loaded.floating == encoder.floating


def test_the_same_seed_gives_the_same_encoder() -> None:
    x, scores = reference((8, 8), np.uint8)
    one, other = (Encoder.fit(x, scores, seed=9).encode(x) for _ in range(2))
    np.testing.assert_array_equal(one[1], other[1])


def test_sketches_are_block_means() -> None:
    x, scores = reference((28, 28), np.uint8)
    sketch, _ = Encoder.fit(x, scores).encode(x)
    means = x.reshape(len(x), 7, 4, 7, 4).mean(axis=(2, 4))
    assert sketch.shape == (len(x), 49)
    assert np.abs(sketch.reshape(-1, 7, 7) - means).max() <= 0.5


def test_small_inputs_are_their_own_sketch(small: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = small
    sketch, embedding = encoder.encode(x)
    np.testing.assert_array_equal(sketch, x.reshape(len(x), 64))
    assert embedding.shape == (len(x), 64)
    assert embedding.dtype == np.int8


def test_integers_of_any_width_mean_the_same(small: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = small
    np.testing.assert_array_equal(encoder.encode(x)[1], encoder.encode(x.astype(np.int64))[1])


def test_read_only_views_are_accepted_without_warning(small: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = small
    assert not x.flags.writeable
    assert len(encoder.encode(x)[0]) == len(x)


def test_an_empty_batch_is_empty(small: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = small
    sketch, embedding = encoder.encode(x[:0])
    assert sketch.shape == (0, 64)
    assert embedding.shape == (0, 64)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    x, scores = reference((12,), np.float32)
    encoder = Encoder.fit(x, scores)
    x[3, 4] = bad
    with pytest.raises(InputError, match="NaN"):
        encoder.encode(x)
    with pytest.raises(InputError, match="NaN"):
        Encoder.fit(x, scores)


def test_inputs_of_another_size_are_refused(small: tuple[Encoder, np.ndarray]) -> None:
    encoder, x = small
    with pytest.raises(InputError, match="64"):
        encoder.encode(x[:, :4])


def test_weights_that_are_not_exact_are_refused(
    small: tuple[Encoder, np.ndarray], tmp_path: object
) -> None:
    path = tmp_path / "encoder.safetensors"  # type: ignore[operator]
    small[0].save(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as source:
        meta = source.metadata()
    tensors = load_file(path)
    tensors["front.weight"][0, 0] += 2**24
    save_file(tensors, path, metadata=meta)
    with pytest.raises(ValueError, match="not exact"):
        Encoder.load(path)


def test_what_is_no_encoder_is_refused(tmp_path: object) -> None:
    path = tmp_path / "encoder.safetensors"  # type: ignore[operator]
    path.write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="no encoder"):
        Encoder.load(path)
