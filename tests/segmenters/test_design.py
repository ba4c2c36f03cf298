"""What labels would tell, against plain float64 algebra; pseudo-labels against true labels that are the same."""

import numpy as np
import pytest
import torch

from alenv.segmenters.probes import gains
from alenv.segmenters.probes.design import Design
from alenv.segmenters.probes.linear import LinearHead

C, D, CELLS = 3, 4, 5
UNIT = 100


@pytest.fixture(scope="module")
def fitted():
    """A head on 60 cells, and features of ten groups."""
    rng = np.random.default_rng(0)
    head = LinearHead(D, C, UNIT)
    x = torch.from_numpy(rng.normal(size=(60, D)).astype(np.float32))
    counts = UNIT * torch.eye(C)[torch.from_numpy(rng.choice(C, 60, p=[0.6, 0.3, 0.1]))]
    head.add(x, counts)
    head.fit()
    return head, x, counts, torch.from_numpy(rng.normal(size=(10, CELLS, D)).astype(np.float32))


def with_ones(x):
    return np.concatenate([x.double().numpy(), np.ones((*x.shape[:-1], 1))], -1)


def probabilities(head, x):
    return head.logits(x).softmax(0).double().numpy()


def class_weight(counts):
    frequency = counts.sum(0).double().numpy()
    weight = frequency**-0.5
    return weight * frequency.sum() / (weight * frequency).sum()


def blocks(head, x, mass):
    """Sum of m p (1 - p) x x', (C, D + 1, D + 1)."""
    p, ones = probabilities(head, x), with_ones(x)
    return np.stack([(ones * (mass * q * (1 - q))[:, None]).T @ ones for q in p])


def expected(head, counts, x):
    """What a group of cells is expected to add."""
    return blocks(head, x, class_weight(counts) @ probabilities(head, x))


@pytest.fixture(scope="module")
def algebra(fitted):
    """Blocks of the Hessian, of what each group adds, and their mean over all cells."""
    head, x, counts, groups = fitted
    hessian = blocks(head, x, (counts.double().numpy() / UNIT * class_weight(counts)).sum(1)) + 5 * np.eye(D + 1)
    added = np.stack([expected(head, counts, group) for group in groups])
    return hessian, added, added.sum(0) / (len(groups) * CELLS)


def make(fitted):
    head, _, _, groups = fitted
    return Design(head, lambda rows: groups[rows], len(groups))


@pytest.mark.parametrize("picks", [(), (3,), (3, 7)])
def test_design_is_that_of_plain_algebra(fitted, algebra, picks):
    hessian, added, wanted = algebra
    design = make(fitted)
    for pick in picks:
        design.pick(pick, 0)
        hessian = hessian + added[pick]
    inverse = np.linalg.inv(hessian)
    leverage = np.einsum("cij,ncji->n", inverse, added) / CELLS
    np.testing.assert_allclose(design.leverage(slice(None)), leverage, rtol=1e-4)
    volume = 0.5 * (np.linalg.slogdet(hessian + added)[1] - np.linalg.slogdet(hessian)[1]).sum(1)
    np.testing.assert_allclose(design.information(slice(2, 9)), volume[2:9], rtol=1e-4)
    step = 1e-5
    before, after = (np.einsum("...cij,cji->...", np.linalg.inv(b), wanted) for b in (hessian, hessian + step * added))
    np.testing.assert_allclose(design.reduction(slice(0, 4)), ((before - after) / step / CELLS)[:4], rtol=1e-3)


def test_none_and_many(fitted, monkeypatch):
    """Groups are looked at a few at a time; of none, nothing."""
    whole = make(fitted).information(slice(None))
    monkeypatch.setattr("alenv.segmenters.probes.design.REGIONS", 3)
    np.testing.assert_allclose(make(fitted).information(slice(None)), whole, rtol=1e-6)
    assert make(fitted).leverage(slice(0, 0)).shape == (0,)


def test_influences_are_those_of_single_labels(fitted):
    head, x, _, groups = fitted
    cells = groups.flatten(0, 1)
    gradient = head.gradient(lambda logits: logits.logsumexp(0).sum() - logits[1].sum(), x)
    by_label = head.influences(cells, gradient)
    for label in range(C):
        counts = torch.zeros(len(cells), 1, C)
        counts[..., label] = UNIT
        np.testing.assert_allclose(
            by_label[label], head.influence(cells[:, None], counts, gradient), rtol=1e-3, atol=1e-5
        )


def test_pseudo_gains_are_gains_when_predictions_are_right(fitted):
    head, _, _, groups = fitted
    cells = groups.flatten(0, 1)
    labels = UNIT * torch.eye(C)[head.logits(cells).argmax(0)]
    present = (labels.sum(0) > 0).float()
    true = gains.influence(head, groups, labels.view(10, CELLS, C), cells, labels.T, present / present.sum())
    np.testing.assert_allclose(gains.pseudo(head, groups, possible=False), true, rtol=2e-2, atol=1e-4)


def test_possible_gains_are_what_is_hoped_for(fitted):
    """Expected as it is, a gradient vanishes over its labels but for the weights of the classes; its positive part does
    not."""
    head, _, _, groups = fitted
    hoped, pseudo = (gains.pseudo(head, groups, possible=p) for p in (True, False))
    assert (hoped > 0).all()
    assert np.corrcoef(hoped, pseudo)[0, 1] < 0.999


def test_classes_share_the_pseudo_gain(fitted):
    """The mean over classes is made of them, and every one of them is predicted here."""
    head, _, _, groups = fitted
    by_class = gains.pseudo_by_class(head, groups)
    assert by_class.shape == (10, C)
    np.testing.assert_allclose(by_class.mean(1), gains.pseudo(head, groups, possible=False), rtol=1e-2, atol=1e-4)
