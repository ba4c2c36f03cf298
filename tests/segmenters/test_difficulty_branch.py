"""DEAL's branch: independent golden values, and what must hold for any predictions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import logit

from alenv.data import IGNORE
from alenv.segmenters.difficulty import RIDGE, DifficultyBranch, attend, balanced_loss

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "difficulty.npz")


def simplex(seed, *shape):
    return torch.tensor(np.random.default_rng(seed).dirichlet(np.full(shape[-1], 0.3), shape[:-1])).float()


def explicit(probs):
    return torch.softmax(probs @ probs.transpose(1, 2), -1) @ probs


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_golden_attention(gamma):
    """Classes first in the file, and gamma times the attended map is added to the map."""
    probs = GOLDEN["deal_pam_input"]
    flat = torch.tensor(probs.reshape(len(probs), -1).T[None]).float()
    attended = attend(flat)[0].numpy().T.reshape(probs.shape)
    np.testing.assert_allclose(probs + gamma * attended, GOLDEN[f"deal_pam_gamma{gamma}"], rtol=0, atol=1e-6)


def test_golden_loss():
    difficulty, error = GOLDEN["deal_difficulty"].ravel(), GOLDEN["deal_error_mask"].ravel()
    loss, _ = balanced_loss(logit(difficulty), 1.0 - error, error)
    assert loss == pytest.approx(float(GOLDEN["deal_loss_balanced"]), abs=1e-9)


@given(st.integers(0, 999), st.integers(1, 3), st.integers(1, 70), st.integers(2, 21))
def test_fused_attention_equals_the_explicit_matrix(seed, images, cells, classes):
    probs = simplex(seed, images, cells, classes)
    attended = attend(probs)
    np.testing.assert_allclose(attended, explicit(probs), rtol=0, atol=2e-6)
    np.testing.assert_allclose(attended.sum(-1), 1, rtol=0, atol=1e-5)


@given(st.integers(0, 999), st.permutations(range(6)))
def test_names_of_the_classes_do_not_matter(seed, order):
    probs = simplex(seed, 1, 40, 6)
    np.testing.assert_allclose(attend(probs[..., order]), attend(probs)[..., order], rtol=0, atol=2e-6)


@given(st.integers(0, 999))
def test_gradient_of_the_loss_is_its_slope(seed):
    rng = np.random.default_rng(seed)
    logits, right = rng.normal(size=6), rng.random(6)
    wrong = (1 - right) * (rng.random(6) > 0.2)
    slope = approx_fprime(logits, lambda x: balanced_loss(x, right, wrong)[0], 1e-7)
    np.testing.assert_allclose(balanced_loss(logits, right, wrong)[1], slope, rtol=0, atol=1e-5)


def test_twice_the_right_cells_move_only_the_weights():
    """With them counted twice, each mean is as it was."""
    logits, right, wrong = np.array([0.3, -1.0, 2.0]), np.array([1.0, 1, 0]), np.array([0.0, 0, 1])
    again = np.array([0, 1, 0, 1, 2])
    weight = np.array([3, 2]) ** -0.5, np.array([5, 2]) ** -0.5
    easy, hard = np.logaddexp(0, logits[:2]).mean(), np.logaddexp(0, -2.0)
    for (a, b), rows in zip(weight, (np.arange(3), again), strict=True):
        expected = (a * easy + b * hard) / (a + b)
        assert balanced_loss(logits[rows], right[rows], wrong[rows])[0] == pytest.approx(expected)


@pytest.mark.parametrize(("right", "wrong"), [([1, 1], [0, 0]), ([0, 0], [1, 1]), ([0, 0], [0, 0])])
def test_a_side_without_cells_counts_nothing(right, wrong):
    loss, slope = balanced_loss(np.zeros(2), np.array(right), np.array(wrong))
    assert np.isfinite(loss)
    assert np.isfinite(slope).all()
    assert (loss == 0) == (not any(right + wrong))


def test_the_branch_learns_which_class_is_difficult():
    """Errors depend on the predicted class alone: the difficulty must follow their share."""
    rng, probs = np.random.default_rng(0), simplex(1, 1, 4000, 4)
    attended, probs = attend(probs)[0].numpy(), probs[0].numpy()
    share = np.array([0.05, 0.6, 0.2, 0.3])[probs.argmax(1)]
    wrong = (rng.random(4000) < share).astype(float)
    branch = DifficultyBranch(4)
    branch.fit(probs[:3000], attended[:3000], 1 - wrong[:3000], wrong[:3000])
    difficulty = branch(probs[3000:], attended[3000:])
    by_class = [difficulty[probs[3000:].argmax(1) == c].mean() for c in range(4)]
    assert np.argsort(by_class).tolist() == [0, 2, 3, 1]
    assert ((difficulty >= 0) & (difficulty <= 1)).all()


def test_fitted_again_it_is_the_same_and_the_fit_is_a_minimum():
    rng, probs = np.random.default_rng(0), simplex(3, 1, 500, 3)
    attended, p = attend(probs)[0].numpy(), probs[0].numpy()
    wrong = (rng.random(500) < 0.8 * p[:, 0]).astype(float)
    branches = [DifficultyBranch(3), DifficultyBranch(3)]
    branches[0].fit(p, attended, wrong, 1 - wrong)
    for branch in branches:
        branch.fit(p, attended, 1 - wrong, wrong)

    def objective(parameters):
        moved = DifficultyBranch(3)
        moved._parameters = parameters
        weights = parameters[:-2]
        return balanced_loss(logit(moved(p, attended)), 1 - wrong, wrong)[0] + RIDGE * weights @ weights

    first, second = (branch._parameters for branch in branches)
    np.testing.assert_array_equal(first, second)
    for _ in range(50):
        moved = first + rng.choice([0.01, 0.3]) * rng.normal(size=5)
        moved[-1] = max(moved[-1], 0)
        assert objective(moved) > objective(first) - 1e-5


@pytest.mark.parametrize("segmenter", ["linear", "mlp"])
@pytest.mark.parametrize(("labelled", "split"), [(slice(48), "reward"), (slice(48, 96), "state")])
def test_difficulty_finds_errors_on_images_that_are_not_labelled(scenes, segmenter, labelled, split):
    """Images with numbers above and below those of the labelled ones."""
    learner = scenes.learner(segmenter, scenes.regions[labelled])
    images = scenes.data.splits[split][:12]
    difficulty = learner.difficulty(images)
    assert difficulty.dtype == np.float32
    wrong, total = np.zeros(difficulty.shape), np.zeros(difficulty.shape)
    for row, image in enumerate(images):
        cells = (difficulty.shape[1], scenes.cell, difficulty.shape[2], scenes.cell)
        mask, labels = scenes.data.masks[image].reshape(cells), learner.label_map(image).reshape(cells)
        total[row] = (mask != IGNORE).sum((1, 3))
        wrong[row] = ((mask != labels) & (mask != IGNORE)).sum((1, 3))
    errors = wrong / total.clip(1) > 0.5
    assert difficulty[errors].mean() > difficulty[~errors & (total > 0)].mean() + 0.1


@pytest.mark.parametrize(("labelled", "split"), [(slice(48), "train"), (slice(48, 96), "state")])
def test_difficulty_depends_on_labels_and_not_on_what_else_is_asked(scenes, labelled, split):
    learner = scenes.learner("linear", scenes.regions[labelled])
    some = scenes.data.splits[split][[5, 2]]
    together = learner.difficulty(scenes.data.splits[split])
    np.testing.assert_array_equal(learner.difficulty(some), together[[5, 2]])
    first = learner.difficulty(some)
    learner.difficulty(scenes.data.splits["state"])
    np.testing.assert_array_equal(learner.difficulty(some), first)
    np.testing.assert_array_equal(learner.difficulty(some[::-1]), first[::-1])


def test_before_any_label_all_is_as_difficult(scenes):
    assert (scenes.learner("linear").difficulty(scenes.data.splits["train"][:2]) == 0.5).all()
