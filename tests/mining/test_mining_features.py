"""Features against their definitions, and one episode against many, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alenv.mining.features import RELATIONS, STRENGTH, Relation, Relations, raw

COLUMN = {name: i for i, name in enumerate(RELATIONS)}


def units(rng, *shape):
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def an_episode(rng, labels=7, dimensions=16, ridge=True, seeds=2):
    relation, known, positive = (
        Relation(labels, dimensions, ridge),
        units(rng, labels, dimensions),
        rng.random(labels) < 0.5,
    )
    positive[0] = True
    for i in range(labels):
        relation.learn(known[i], bool(positive[i]))
        if i + 1 == seeds:
            relation.freeze()
    return relation, known.astype(np.float64), positive


def look(relations, x):
    """Features of candidates that are a table of their own, (e, K, D)."""
    return relations.look(slice(None), x.reshape(-1, x.shape[-1]), np.arange(x[..., 0].size).reshape(x.shape[:2]))


def lifted(values):
    return 0.5 + (values - values.mean()) / 4


def cosine(x, total):
    return x @ total / np.linalg.norm(total)


def test_features_are_what_they_say():
    rng = np.random.default_rng(0)
    relation, known, positive = an_episode(rng)
    x = units(rng, 9, 16)
    out, x = relation.look(x), x.astype(np.float64)
    expected = np.empty((9, len(RELATIONS)))
    expected[:, 0] = lifted(cosine(x, known[:2][positive[:2]].sum(0)))
    expected[:, 1] = lifted(cosine(x, known[positive].sum(0)))
    expected[:, 2] = lifted(cosine(x, known[~positive].sum(0)))
    expected[:, 4] = lifted((x @ known[positive].T).max(1))
    expected[:, 5] = lifted((x @ known.T).max(1))
    covariance = np.linalg.inv(known.T @ known / STRENGTH + np.eye(16))
    expected[:, 3] = lifted(x @ covariance @ known.T @ positive / STRENGTH)
    expected[:, 6] = np.sqrt(np.einsum("kd,de,ke->k", x, covariance, x))
    np.testing.assert_allclose(out, expected, atol=2e-6)
    assert out.dtype == np.float32


def test_cosine_observation_is_the_start_of_the_relational_one():
    short, _, _ = an_episode(np.random.default_rng(1), ridge=False)
    long, _, _ = an_episode(np.random.default_rng(1))
    x = units(np.random.default_rng(2), 20, 16)
    np.testing.assert_allclose(short.look(x), long.look(x)[:, :3], atol=1e-6)


@given(
    st.integers(0, 2**32), st.integers(1, 5), st.integers(2, 25), st.integers(2, 40), st.booleans(), st.integers(1, 90)
)
@settings(max_examples=60, deadline=None)
def test_one_episode_equals_itself_among_others(seed, episodes, candidates, dimensions, ridge, labels):
    """Whatever the sizes, and however many labels the others have."""
    rng = np.random.default_rng(seed)
    together = Relations(episodes, candidates, labels, dimensions, ridge)
    alone = [Relation(labels, dimensions, ridge) for _ in range(episodes)]
    for _ in range(labels):
        which = np.flatnonzero(rng.random(episodes) < rng.choice([0.6, 1.0]))
        if len(which):
            vectors, positive = units(rng, len(which), dimensions), rng.random(len(which)) < 0.5
            together.learn(slice(None) if len(which) == episodes else which, vectors, positive)
            for i, vector, label in zip(which, vectors, positive, strict=True):
                alone[i].learn(vector, bool(label))
    together.freeze(slice(None))
    x = units(rng, episodes, candidates, dimensions)
    many = look(together, x)
    assert (many >= 0).all()
    assert (many <= 1).all()
    for i, relation in enumerate(alone):
        relation.freeze()
        np.testing.assert_array_equal(relation.look(x[i]), many[i])


def test_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(3)
    vectors, x = units(rng, 4, 150, 64), units(rng, 150, 20, 64)
    results = []
    for chunk in (64, 1000, 7):
        monkeypatch.setattr("alenv.mining.features.CHUNK", chunk)
        relations = Relations(150, 20, 4, 64, True)
        for step in range(4):
            relations.learn(slice(None), vectors[step], np.arange(150) % 3 == step % 3)
        results.append(look(relations, x))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_deviation_shrinks_with_every_label_and_order_of_candidates_does_not_matter():
    rng = np.random.default_rng(4)
    relation, x = Relation(30, 16, True), units(rng, 12, 16)
    before = relation.look(x)[:, COLUMN["ridge_deviation"]]
    np.testing.assert_array_equal(before, 1)
    for i in range(30):
        relation.learn(units(rng, 16), i % 2 == 0)
        after = relation.look(x)[:, COLUMN["ridge_deviation"]]
        assert (after <= before + 1e-6).all()
        before = after
    order = rng.permutation(12)
    np.testing.assert_allclose(relation.look(x[order]), relation.look(x)[order], atol=1e-6)


def test_the_same_image_again_is_nearest_and_certain():
    rng = np.random.default_rng(5)
    relation, x = Relation(40, 16, True), units(rng, 5, 16)
    for _ in range(40):
        relation.learn(x[3], True)
    out = relation.look(x)
    assert out[:, COLUMN["nearest_positive"]].argmax() == 3
    assert out[:, COLUMN["ridge_mean"]].argmax() == 3
    assert out[3, COLUMN["ridge_deviation"]] == pytest.approx(np.sqrt(1 / 41), abs=1e-3)


def test_clear_forgets():
    rng = np.random.default_rng(6)
    x = units(rng, 2, 6, 16)
    relations = Relations(2, 6, 3, 16, True)
    fresh = look(relations, x)
    relations.learn(slice(None), units(rng, 2, 16), np.array([True, False]))
    relations.freeze(slice(None))
    used = look(relations, x)
    relations.clear(np.array([1]))
    now = look(relations, x)
    np.testing.assert_array_equal(now[0], used[0])
    np.testing.assert_array_equal(now[1], fresh[1])
    assert (used[1] != fresh[1]).any()


@pytest.mark.parametrize("ridge", [False, True])
def test_an_episode_forgets_as_many_do(ridge):
    rng = np.random.default_rng(6)
    relation, vectors, x = Relation(3, 16, ridge), units(rng, 4, 16), units(rng, 6, 16)
    fresh = relation.look(x)
    for i in range(3):
        relation.learn(vectors[i], i != 1)
    relation.freeze()
    used = relation.look(x)
    relation.clear()
    np.testing.assert_array_equal(relation.look(x), fresh)
    for i in range(3):
        relation.learn(vectors[i], i != 1)
    relation.freeze()
    np.testing.assert_array_equal(relation.look(x), used)


def test_rounding_takes_no_raw_vector_out_of_bounds():
    assert raw(np.array([[1.0000002, -1.0000002]], np.float32))[0, :2].tolist() == [1, 0]


def test_raw_vectors_are_filled_up():
    x = units(np.random.default_rng(7), 3, 10)
    out = raw(x)
    np.testing.assert_allclose(out[:, :10], (1 + x) / 2, atol=1e-7)
    assert (out[:, 10:] == 0.5).all()
    assert out.shape == (3, 64)
