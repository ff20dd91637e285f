"""Labels, confidences, margins and entropies of answers."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.answers import answers_of
from detectors.batch import FIXED_POINT_ONE


def unlabelled(rows: int) -> np.ndarray:
    return np.full(rows, -1, np.int32)


def test_probabilities_are_taken_as_they_are() -> None:
    answers = answers_of(np.array([[0.7, 0.2, 0.1]], np.float32), unlabelled(1))
    assert answers.label.tolist() == [0]
    assert answers.confidence[0] == round(0.7 * FIXED_POINT_ONE)
    assert answers.margin[0] == pytest.approx(0.5 * FIXED_POINT_ONE, abs=1)


def test_logits_become_probabilities() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1]])).astype(np.float32) + 5
    answers = answers_of(logits, unlabelled(1))
    assert answers.confidence[0] == pytest.approx(0.7 * FIXED_POINT_ONE, abs=1)


def test_an_answered_label_wins_over_the_scores() -> None:
    answers = answers_of(np.array([[0.9, 0.1]], np.float32), np.array([1], np.int32))
    assert answers.label.tolist() == [1]


def test_a_certain_answer_has_no_entropy_and_a_uniform_one_the_most() -> None:
    answers = answers_of(np.array([[1, 0], [0.5, 0.5]], np.float32), unlabelled(2))
    assert answers.entropy[0] == 0
    assert answers.entropy[1] == pytest.approx(np.log(2) * FIXED_POINT_ONE, abs=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        answers_of(np.array([[bad, 0.5]], np.float32), unlabelled(1))


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    scores = np.random.default_rng(0).normal(0, 4, (50, 37)).astype(np.float32)
    whole = answers_of(scores, unlabelled(50))
    for row in range(50):
        single = answers_of(scores[row : row + 1], unlabelled(1))
        assert [column[0] for column in single] == [column[row] for column in whole]
