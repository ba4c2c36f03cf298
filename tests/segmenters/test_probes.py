"""Heads against independent solutions of what their docstrings state."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from alenv.segmenters.probes import gains
from alenv.segmenters.probes.convex import CELLS, Curvature, minimise
from alenv.segmenters.probes.heads import class_weights, with_bias
from alenv.segmenters.probes.lda import LdaHead
from alenv.segmenters.probes.linear import LinearHead

D, C, CELL_PIXELS = 5, 4, 16


def problem(seed, n=150, classes=C):
    """Cells with mixed labels that depend on the features; some cells have ignored pixels or no label at all."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D))
    logits = x @ rng.normal(size=(D, classes)) - 0.7 * np.arange(classes)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    pixels = rng.choice([0, 5, CELL_PIXELS], n, p=[0.1, 0.2, 0.7])
    counts = np.array([rng.multinomial(k, p) for k, p in zip(pixels, shares, strict=True)])
    return torch.tensor(x).float(), torch.tensor(counts).float()


def linear(x, counts):
    head = LinearHead(x.shape[1], counts.shape[1], CELL_PIXELS)
    head.add(x, counts)
    head.fit()
    return head


def lda(*batches):
    head = LdaHead(batches[0][0].shape[1], batches[0][1].shape[1])
    for batch in batches:
        head.add(*batch)
    head.fit()
    return head


def pixel_weights(counts, cell_pixels=CELL_PIXELS):
    """The docstring's class weights, with a floor of one cell on the frequency."""
    frequency = counts.sum(0).double()
    weights = frequency.clamp_min(cell_pixels) ** -0.5
    return weights / ((weights * frequency).sum() / frequency.sum())


def objective(weights, x, counts, pixel=None, cell_pixels=CELL_PIXELS):
    """The docstring's formula in float64."""
    pixel = pixel_weights(counts, cell_pixels) if pixel is None else pixel
    logp = (with_bias(x).double() @ weights.T).log_softmax(1)
    loss = -(counts.double() / cell_pixels * pixel * logp).sum()
    return loss + LinearHead.l2 / 2 * weights.square().sum()


def solve(function, shape):
    """Minimise a float64 function of the weights with plain L-BFGS."""

    def value_and_gradient(point):
        weights = torch.tensor(point).view(shape).requires_grad_()
        value = function(weights)
        return value.item(), torch.autograd.grad(value, weights)[0].numpy().ravel()

    options = {"ftol": 0.0, "gtol": 1e-7, "maxiter": 10_000, "maxfun": 20_000, "maxcor": 30}
    result = minimize(value_and_gradient, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B", options=options)
    return torch.tensor(result.x).view(shape)


def assert_same(state, other):
    assert state.keys() == other.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


# --- linear ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_what_is_minimised_is_the_stated_objective(seed, monkeypatch):
    """The gradient that the solver is given is the derivative of the docstring's formula."""
    seen = []
    x, counts = problem(seed)
    monkeypatch.setattr("alenv.segmenters.probes.linear.minimise", lambda f, start, *rest: seen.append(f) or (start, 1))
    linear(x, counts)
    for scale in (0.1, 1, 5):
        weights = torch.tensor(np.random.default_rng(seed).normal(size=(C, D + 1)) * scale).requires_grad_()
        expected = torch.autograd.grad(objective(weights, x, counts), weights)[0]
        gradient = seen[0](weights.detach().float())
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("seed", range(4))
def test_minimum_equals_that_of_an_independent_solver(seed):
    x, counts = problem(seed)
    head = linear(x, counts)
    best = solve(lambda w: objective(w, x, counts), head._weights.shape)
    least = objective(best, x, counts).item()
    assert 0 <= objective(head._weights.double(), x, counts).item() - least < 1e-4 * least
    np.testing.assert_allclose(head.logits(x), (with_bias(x).double() @ best.T).T, rtol=0, atol=0.03)
    np.testing.assert_allclose(head._weights.sum(0), 0, rtol=0, atol=1e-5)  # what the penalty asks for


@pytest.mark.parametrize("seed", range(4))
def test_class_weights_have_mean_one_over_labelled_pixels(seed):
    _, counts = problem(seed)
    counts[:, 3] = 0
    counts[0, 3] = 2  # rarer than a cell: its weight is that of a whole cell
    weights = class_weights(counts, CELL_PIXELS) * CELL_PIXELS
    frequency = counts.sum(0)
    assert (weights * frequency).sum() / frequency.sum() == pytest.approx(1, abs=1e-6)
    assert weights[1] / weights[0] == pytest.approx(float(frequency[0] / frequency[1]) ** 0.5, rel=1e-5)
    assert weights[3] / weights[0] == pytest.approx(float(frequency[0] / CELL_PIXELS) ** 0.5, rel=1e-5)


def dense_hessian(weights, x, counts):
    """The Hessian of the stated objective, (C (D + 1), C (D + 1)) in float64."""
    size = weights.numel()
    return torch.autograd.functional.hessian(lambda w: objective(w, x, counts), weights.double()).view(size, size)


def test_curvature_is_the_diagonal_of_the_hessian_by_class():
    x, counts = problem(0, n=40)
    head = LinearHead(D, C, CELL_PIXELS)
    head.add(x, counts)
    head._weights = torch.randn(C, D + 1, generator=torch.Generator().manual_seed(0))
    head._update_curvature(head._targets().sum(0))
    hessian = dense_hessian(head._weights, x, counts).view(C, D + 1, C, D + 1)
    for c, block in enumerate(head._curvature.blocks):
        np.testing.assert_allclose(block, hessian[c, :, c], rtol=1e-4, atol=1e-4)


def lagging(x, counts):
    """Return a head whose Hessian has the curvature of the time when its first cells were all there were."""
    head = linear(x[: len(x) // 2 + 1], counts[: len(x) // 2 + 1])
    head.fit()
    head.add(x[len(x) // 2 + 1 :], counts[len(x) // 2 + 1 :])
    head.fit()
    return head


@pytest.mark.parametrize("seed", range(3))
def test_influence_is_the_first_order_limit_of_refits(seed):
    """A group with weight eps is added, all else equal, and the head refitted tightly: change / eps -> influence."""
    x, counts = problem(seed, n=400)
    groups = problem(seed + 100, n=60)
    gx, gcounts = groups[0].view(6, 10, D), groups[1].view(6, 10, C)
    head = lagging(x, counts)
    x_score, labels = problem(seed + 200, n=300)
    share = torch.full((C,), 1 / C)
    gradient = head.gradient(lambda logits: -gains._soft_iou(logits, labels.T, share), x_score)
    influence = head.influence(gx, gcounts, gradient)

    pixel, eps = pixel_weights(counts), 1e-3

    def score(w):
        return -gains._soft_iou((with_bias(x_score).double() @ w.T).T, labels.T.double(), share.double())

    base = score(solve(lambda w: objective(w, x, counts, pixel), head._weights.shape))
    for i in range(6):
        more = torch.cat([x, gx[i]]), torch.cat([counts, eps * gcounts[i]])
        moved = score(solve(lambda w, more=more: objective(w, *more, pixel), head._weights.shape))
        scale = influence.abs().max().item()
        assert (base - moved).item() / eps == pytest.approx(influence[i].item(), abs=0.03 * scale)


@pytest.mark.parametrize("seed", range(3))
def test_influence_solves_with_the_hessian_at_the_minimum(seed):
    """Not with the blocks that the fit carries along; also for gradients that do not add up to zero over classes."""
    x, counts = problem(seed, n=400)
    head = lagging(x, counts)
    gradient = torch.randn(C, D + 1, generator=torch.Generator().manual_seed(seed))
    hessian = dense_hessian(head._weights, x, counts)
    expected = torch.linalg.solve(hessian, gradient.double().view(-1, 1)).view(C, -1)
    assert (head._solve(gradient) - expected).norm() < 0.002 * expected.norm()


def test_passes_know_of_all_labels():
    """Their spread is that of the curvature of all cells, if not all of it taken at the minimum."""
    x, counts = problem(5, n=400)
    head = linear(x[:200], counts[:200])
    head.add(x[200:390], counts[200:390])
    head.fit()
    shifts = torch.stack(list(head.samples(np.random.default_rng(0), 1000))) - head._weights
    flat = shifts.flatten(1).double()

    def ratio(cells):
        weights = head._weights.double().requires_grad_()
        hessian = torch.autograd.functional.hessian(lambda w: objective(w, x[:cells], counts[:cells]), weights)
        return torch.trace(flat.T @ flat / len(flat) @ hessian.view(flat.shape[1], -1)).item() / flat.shape[1]

    assert ratio(200) < 0.65 < ratio(390) < 1.1


def test_evaluations_of_both_parts_of_a_fit_are_counted(monkeypatch):
    x, counts = problem(6)
    head, seen = linear(x[:40], counts[:40]), []
    where = "alenv.segmenters.probes.linear.minimise"
    monkeypatch.setattr(where, lambda *args: seen.append(minimise(*args)) or seen[-1])
    monkeypatch.setattr(LinearHead, "patience", 0)
    head.add(x[40:], counts[40:])
    head.fit()
    assert len(seen) == 2
    assert head.evaluations == seen[0][1] + seen[1][1] > 2


@pytest.mark.parametrize("classes", [2, 4, 40])
def test_minimum_takes_few_evaluations_with_any_number_of_classes(classes):
    """From where the last fit ended, as in a labelling round."""
    x, counts = problem(0, n=2000, classes=classes)
    head = linear(x[:1900], counts[:1900])
    head.fit()  # the second finds the curvature of the first
    head.add(x[1900:], counts[1900:])
    head.fit()
    assert head.evaluations <= 20


def test_a_long_fit_leaves_the_curvature_of_where_it_ended():
    """So that the next one, and the posterior, begin with it."""
    x, counts = problem(0, n=600)
    head = LinearHead(D, C, CELL_PIXELS)
    head.patience = 5  # the problem is small
    head.add(x, counts)
    head.fit()
    hessian = dense_hessian(head._weights, x, counts).view(C, D + 1, C, D + 1)
    for c, block in enumerate(head._curvature.blocks):
        assert (block - hessian[c, :, c]).norm() < 0.02 * hessian[c, :, c].norm()


def test_a_step_that_goes_too_far_is_shortened():
    """Of ``sum (1 + w^2)^1/2`` the slope hardly changes far out: a whole step in a flat metric would pass 0 by 1000."""
    metric, seen = Curvature(2, 1, 1e-3), []
    metric.factorise()

    def gradient(w):
        seen.append(w.abs().max().item())
        return w / (1 + w.square()).sqrt()

    weights, evaluations = minimise(gradient, torch.tensor([[3.0], [-3.0]]), metric, 1e-3)
    assert weights.abs().max() < 1e-2
    assert evaluations == len(seen) < 15


def test_equations_that_are_not_solved_are_an_error():
    head = lagging(*problem(0, n=400))
    head.accuracy = 0.0
    with pytest.raises(RuntimeError, match="did not reach accuracy=0"):
        head._solve(torch.ones(C, D + 1))


def test_influence_before_any_label_is_finite():
    """With nothing labelled there are no class frequencies to weight by."""
    head = LinearHead(D, C, CELL_PIXELS)
    x, counts = problem(0, n=60)
    gradient = head.gradient(lambda logits: -(logits.T * counts).sum(), x)
    influence = head.influence(x.view(6, 10, D), counts.view(6, 10, C), gradient)
    assert torch.isfinite(influence).all()
    assert influence.abs().max() > 0


def test_cells_without_labels_change_nothing():
    x, counts = problem(1)
    labelled = counts.sum(1) > 0
    assert not labelled.all()
    assert_same(linear(x, counts).get_state(), linear(x[labelled], counts[labelled]).get_state())


def test_nothing_labelled_predicts_uniformly():
    x, counts = problem(1)
    for head in (linear(x, 0 * counts), lda((x, 0 * counts))):
        assert not head.logits(x).any()


def rounds(case, count, split="reward"):
    """Yield warm and cold predictions on a split as the labelled set grows by 24 regions a round."""
    ids = case.regions[: 48 + 24 * count]
    vectors, labels = (case.grid.cut(a, ids, case.cell) for a in (case.cells.vectors, case.cells.counts))
    x = torch.from_numpy(vectors).flatten(1, 2)
    counts = torch.from_numpy(labels.astype(np.float32)).flatten(1, 2)
    dimensions, classes = x.shape[-1], counts.shape[-1]
    scored = torch.from_numpy(case.cells.vectors[case.data.splits[split]]).view(-1, dimensions)
    warm, start = LinearHead(dimensions, classes, case.cell**2), 0
    for end in range(48, len(x) + 1, 24):
        warm.add(x[start:end].flatten(0, 1), counts[start:end].flatten(0, 1))
        warm.fit()
        cold = LinearHead(dimensions, classes, case.cell**2)
        cold.add(x[:end].flatten(0, 1), counts[:end].flatten(0, 1))
        cold.fit()
        start = end
        yield warm.logits(scored).argmax(0), cold.logits(scored).argmax(0), (x[:end], counts[:end], scored)


def agreement(a, b):
    return (a == b).double().mean().item()


def test_warm_and_cold_solutions_agree(scenes):
    """The reward must be a function of the labelled set, not of the way there."""
    shares = [agreement(warm, cold) for warm, cold, _ in rounds(scenes, 10)]
    print("warm/cold agreement", min(shares))
    assert min(shares) >= 0.999


@pytest.mark.slow
def test_warm_and_cold_solutions_agree_on_camvid(camvid):
    shares = [agreement(warm, cold) for warm, cold, _ in rounds(camvid, 10)]
    print("warm/cold agreement", min(shares))
    assert min(shares) >= 0.999


@pytest.mark.slow
def test_warm_solution_agrees_with_an_independent_one_on_real_features(scenes):
    warm, _, (x, counts, scored) = list(rounds(scenes, 4))[-1]
    x, counts = x.flatten(0, 1), counts.flatten(0, 1)
    best = solve(lambda w: objective(w, x, counts, None, scenes.cell**2), (counts.shape[1], x.shape[1] + 1))
    assert agreement(warm, (with_bias(scored).double() @ best.T).argmax(1)) >= 0.999


def test_snapshot_of_a_linear_head_goes_on_bit_for_bit():
    """Also past the rounds in which the Hessian is computed anew."""
    x, counts = problem(7, n=400)
    parts = [slice(a, a + 50) for a in range(0, 400, 50)]
    head = LinearHead(D, C, CELL_PIXELS)
    for i, part in enumerate(parts):
        head.add(x[part], counts[part])
        head.fit()
        if i == 2:
            state = head.get_state()
            kept = {name: value.copy() for name, value in state.items()}
    other = LinearHead(D, C, CELL_PIXELS)
    other.add(x[:150], counts[:150])
    other.set_state(state)
    for part in parts[3:]:
        other.add(x[part], counts[part])
        other.fit()
    assert_same(other.get_state(), head.get_state())
    assert_same(state, kept)  # neither head writes into the snapshot


# --- lda ------------------------------------------------------------------------------------------------------------


def reference_lda(x, counts):
    """Logits (C, n), computed pixel by pixel."""
    x, counts = x.numpy().astype(np.float64), counts.numpy().astype(int)
    cell, label = np.nonzero(counts)
    times = counts[cell, label]
    pixels, labels = x[cell.repeat(times)], label.repeat(times)
    means = np.array([pixels[labels == c].mean(0) for c in range(counts.shape[1])])
    centred = pixels - means[labels]
    covariance = centred.T @ centred / len(pixels)
    covariance += LdaHead.shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    inverse = np.linalg.inv(covariance)
    prior = 0.5 * np.log(np.bincount(labels) / len(labels))
    return np.array([x @ inverse @ m - 0.5 * m @ inverse @ m + p for m, p in zip(means, prior, strict=True)])


@pytest.mark.parametrize("seed", range(3))
def test_lda_equals_the_closed_form_over_pixels(seed):
    x, counts = problem(seed)
    np.testing.assert_allclose(lda((x, counts)).logits(x), reference_lda(x, counts), rtol=1e-4, atol=1e-4)


@given(st.integers(0, 1000), st.permutations(range(5)))
def test_lda_does_not_depend_on_the_order_of_labels(seed, order):
    x, counts = problem(seed, n=50)
    batches = [(x[i : i + 10], counts[i : i + 10]) for i in range(0, 50, 10)]
    assert_close(lda(*batches), lda(*(batches[i] for i in order)))


@given(st.integers(0, 1000))
def test_lda_forgets_what_is_taken_away(seed):
    x, counts = problem(seed, n=80)
    head = lda((x[:60], counts[:60]))
    before = lda((x[:60], counts[:60]))
    head.add(100 * x[60:], counts[60:])
    head.fit()
    assert not np.allclose(head._weights, before._weights, rtol=1e-2)
    head.add(100 * x[60:], counts[60:], -1)
    head.fit()
    assert_close(head, before)


def assert_close(head, other):
    """Statistics to 1e-9, the solution to float32, in which it is used."""
    state, expected = head.get_state(), other.get_state()
    for name in ("counts", "sums", "moments"):
        scale = abs(expected[name]).max() + 1
        np.testing.assert_allclose(state[name], expected[name], rtol=0, atol=1e-9 * scale)
    for name in ("weights", "bias"):
        solution, exact = (getattr(one, f"_{name}").numpy() for one in (head, other))
        np.testing.assert_allclose(solution, exact, rtol=1e-6, atol=1e-6)


def test_lda_without_any_label_left_is_untrained():
    x, counts = problem(2)
    head = lda((x, counts))
    head.add(x, counts, -1)
    head.fit()
    assert not head.logits(x).any()


@pytest.mark.parametrize("missing", range(C))
def test_lda_never_predicts_a_class_without_labels(missing):
    x, counts = problem(2)
    counts[:, missing] = 0
    logits = lda((x, counts)).logits(100 * x)
    assert (logits.argmax(0) != missing).all()
    assert not torch.isnan(logits.softmax(0)).any()


def test_snapshot_of_an_lda_head_goes_on_bit_for_bit():
    x, counts = problem(7)
    head = lda((x[:90], counts[:90]))
    state = head.get_state()
    kept = {name: value.copy() for name, value in state.items()}
    other = LdaHead(D, C)
    other.set_state(state)
    for one in (head, other):
        one.add(x[90:], counts[90:])
        one.fit()
    assert_same(other.get_state(), head.get_state())
    assert_same(state, kept)


@pytest.mark.parametrize("cells", [1, CELLS, 2 * CELLS + 5])
def test_curvature_is_that_of_all_cells_however_they_are_parted(cells):
    draw = torch.Generator().manual_seed(0)
    x, probs = torch.randn(4, cells, generator=draw), torch.rand(3, cells, generator=draw)
    mass = torch.rand(cells, generator=draw)
    metric = Curvature(3, 4, 0.5)
    metric.add(x, probs, mass)
    bend = (probs * (1 - probs) * mass).double()
    expected = 0.5 * torch.eye(4, dtype=torch.float64) + torch.einsum("cn,in,jn->cij", bend, x.double(), x.double())
    torch.testing.assert_close(metric.blocks.double(), expected, rtol=1e-4, atol=1e-3)
