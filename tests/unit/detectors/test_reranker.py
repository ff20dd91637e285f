"""What analysts said of some alerts ranks those that come after."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.reranker import MAX_SUBJECT_VOTES, MAX_VOTES, Reranker, Vote


def vote(number=0, *, real=False, group="evasion", strength=1.5, **features):
    return Vote(group, f"client-{number}", strength, real, features or {"detector": 1.0})


def taught(*votes):
    return Reranker(votes)


def opinion(model, *, group="evasion", strength=1.0, **features):
    return model.rank(features or {"detector": 1.0}, group=group, strength=strength)


def test_before_any_vote_every_alert_is_as_likely_real_as_false():
    assert opinion(Reranker(), events=0.7) == (0.5, 0, 0, False)


@pytest.mark.parametrize("count", [1, 5, 11])
def test_a_few_votes_make_light_of_nothing(count):
    assert not opinion(taught(*map(vote, range(count)))).is_false


def test_many_votes_about_several_clients_do():
    found = opinion(taught(*map(vote, range(12))))
    assert found.is_false
    assert found.real < 0.3
    assert (found.votes, found.false) == (12, 12)


def test_votes_about_one_client_do_not():
    model = Reranker()
    assert sum(model.learn(vote(7)) for _ in range(40)) == MAX_SUBJECT_VOTES
    assert not opinion(model).is_false


def test_votes_of_another_group_do_not():
    assert not opinion(taught(*map(vote, range(40))), group="extraction").is_false


def test_an_alert_with_more_evidence_than_was_ever_called_false_stays_as_it_is():
    model = taught(*map(vote, range(40)))
    assert opinion(model, strength=1.5).is_false
    assert not opinion(model, strength=1.6).is_false


def test_one_real_one_among_twelve_is_enough_to_take_them_seriously():
    model = taught(*map(vote, range(11)), vote(11, real=True))
    assert not opinion(model).is_false


def test_it_tells_false_from_real_ones_of_the_same_detector_by_what_they_have():
    votes = [vote(n, real=n % 2 == 0, detector=1.0, films=float(n % 2)) for n in range(60)]
    model = taught(*votes)
    film, other = (opinion(model, detector=1.0, films=films) for films in (1.0, 0.0))
    assert film.is_false
    assert not other.is_false
    assert other.real - film.real > 0.2


def test_what_people_change_their_minds_about_is_taken_seriously_again():
    model = taught(*map(vote, range(20)))
    assert opinion(model).is_false
    for number in range(20, 26):
        model.learn(vote(number, real=True))
    assert not opinion(model).is_false


def test_it_ranks_later_alerts_better_than_chance_when_a_fifth_of_the_votes_is_wrong():
    rng = np.random.default_rng(3)
    x = rng.random((600, 6)).round(4)
    real = x[:, 0] + 0.5 * x[:, 1] > 0.75
    model = Reranker()
    for n, row in enumerate(x[:400]):
        features = {f"f{i}": value for i, value in enumerate(row.tolist())}
        model.learn(vote(n, real=bool(real[n] ^ (rng.random() < 0.2)), **features))
    scores = np.array(
        [
            opinion(model, **{f"f{i}": value for i, value in enumerate(row.tolist())}).real
            for row in x[400:]
        ]
    )
    hits, misses = scores[real[400:]], scores[~real[400:]]
    assert (hits[:, None] > misses).mean() > 0.9


@given(
    st.lists(
        st.builds(
            Vote,
            st.sampled_from(["a", "b"]),
            st.sampled_from("cdefgh"),
            st.floats(0, 100),
            st.booleans(),
            st.dictionaries(st.sampled_from("uvwxyz"), st.floats(0, 1), max_size=6),
        ),
        max_size=30,
    )
)
def test_what_is_restored_thinks_as_the_one_that_never_stopped(votes):
    model = Reranker()
    for item in votes:
        model.learn(item)
    again = Reranker(msgspec.msgpack.decode(msgspec.msgpack.encode(model.votes), type=list[Vote]))
    for item in votes:
        where = {"group": item.group, "strength": item.strength}
        assert again.rank(item.features, **where) == model.rank(item.features, **where)


def test_it_forgets_the_oldest_and_stays_bounded():
    model = Reranker()
    for number in range(MAX_VOTES + 40):
        model.learn(vote(number, real=number < 40))
    assert len(model.votes) == MAX_VOTES
    assert not any(held.real for held in model.votes)
    assert opinion(model).real == opinion(Reranker(model.votes)).real
