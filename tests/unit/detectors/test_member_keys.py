"""Keys of members: what noise, light and shifts leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from detectors.membership.keys import LENGTH, centred_blocks, keys_of, standardised

GRID = np.array([20, 24])


def framed(rng, count=50):
    """Return pictures with a border of four pixels, as handwritten digits have."""
    image = np.zeros((count, 20, 24), np.uint8)
    image[:, 4:-4, 4:-4] = rng.integers(0, 256, (count, 12, 16)) * (
        rng.random((count, 12, 16)) < 0.5
    )
    return image


def keys(image):
    flat = image.reshape(len(image), -1)
    return keys_of(flat[:, ::8], flat, GRID)


@pytest.mark.parametrize("by", [(1, 0), (-1, 0), (0, 1), (0, -1), (3, -2), (-4, 4)])
def test_a_shift_by_whole_pixels_leaves_the_centred_key_alone(by):
    image = framed(np.random.default_rng(0))
    plain, moved = keys(image), keys(np.roll(image, by, axis=(1, 2)))
    assert np.array_equal(plain[1], moved[1])
    assert not np.array_equal(plain[0], moved[0])


def test_light_leaves_the_first_key_alone_but_for_rounding():
    image = framed(np.random.default_rng(1))
    darker = (image.astype(int) // 2 + 40).astype(np.uint8)
    off = np.abs(keys(image)[0].astype(int) - keys(darker)[0])
    assert off.max() <= LENGTH // 100


def test_vectors_that_are_no_images_have_one_key():
    values = np.random.default_rng(2).integers(0, 256, (5, 49), dtype=np.uint8)
    assert len(keys_of(values, values, np.array([49, 0]))) == 1


@given(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=12)))
def test_keys_of_any_picture_are_bounded_and_do_not_depend_on_what_stands_beside(image):
    whole, alone = centred_blocks(image), [centred_blocks(one[None]) for one in image]
    assert whole.shape == (len(image), min(8, image.shape[1]) * min(8, image.shape[2]))
    assert np.array_equal(whole, np.concatenate(alone))
    key = standardised(whole).astype(int)
    assert (np.sqrt((key**2).sum(axis=1)) <= LENGTH + key.shape[1]).all()


@given(st.integers(0, 255))
def test_a_picture_of_one_colour_stays_where_it_is_and_has_the_zero_key(colour):
    image = np.full((1, 20, 24), colour, np.uint8)
    assert (centred_blocks(image) == 64 * colour).all()
    assert not keys(image)[1].any()
