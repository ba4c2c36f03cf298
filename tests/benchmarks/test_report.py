import json
import math

import numpy as np
import pytest
from hostile.benchmarks import EPISODE
from rich.console import Console
from scipy import stats as scipy_stats

from agents.episode import Episode
from benchmarks import stats
from benchmarks.leaderboard.plot import COLUMNS, draw_curves
from benchmarks.leaderboard.report import print_ranking, ranking_table, to_markdown, write_report
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.summary import summarize as figures_of

COST = [0, 24, 48, 72, 96]
LUCK = [0.0, 1.0, -1.0, 2.0, 3.0, 0.5, -0.5, 1.5, 4.0, -2.0]
# The entropy policy gains 1 or 3 in turn at every budget but the start: mean 2, sd sqrt(10/9).
GAIN = [1.0, 3.0] * 5
HALF_WIDTH = 2.2621571628 * math.sqrt(10 / 9) / math.sqrt(10)


def make_episode(policy, seed, curve, *, cost=COST, oracle=False, alenv="0.1.0"):
    classes = [[v - 9, None, v, v - 3, v + 3, v + 9, v + 12, v + 15] for v in curve]
    of_it = {
        "policy": policy,
        "oracle": oracle,
        "kwargs": {"pool": "eval"},
        "seed": seed,
        "actions": [0] * cost[-1],
        "rewards": [0.0] * cost[-1],
        "picked": [[0, 0, 0]] * cost[-1],
        "costs": {unit: list(cost) for unit in ("regions", "pixels", "clicks", "images")},
        "metrics": {"miou/holdout": curve, "miou/test": [v - 5 for v in curve]},
        "class_metrics": {"class_iou/holdout": classes, "class_iou/test": classes},
        "given": {"pixels": 1234},
        "seconds": {"policy": 0.96, "env": 0.0, "evaluator": 0.0},
        "fingerprint": {"sha256": policy, "alenv": alenv, "arguments": {"scores": [policy]}},
    }
    return Episode(**EPISODE | of_it)


def make_suite(policies, seeds=10):
    return Suite("made-up", "RegionSelect-v0", {"pool": "eval"}, tuple(policies), tuple(range(seeds)))


def make_episodes(seeds=10):
    """Random is flat at 40 + luck; entropy adds GAIN after the start, the oracle twice that."""

    def curves(factor):
        return [[40 + luck, *[40 + luck + factor * g] * 4] for luck, g in zip(LUCK, GAIN, strict=True)]

    return {
        name: {s: make_episode(name, s, c, oracle=factor == 2) for s, c in enumerate(curves(factor)[:seeds])}
        for name, factor in (("random", 0), ("entropy", 1), ("look_ahead", 2))
    }


@pytest.fixture(scope="module")
def summary():
    return summarize(make_suite(["random", "entropy", "look_ahead"]), make_episodes())


def summarize(suite, episodes):
    """By policy and seed."""
    return figures_of(suite, {policy: list(by_seed.values()) for policy, by_seed in episodes.items()})


def ranking_of(summary, view):
    return ranking_table(suite_of(summary), summary, view)


def page_of(summary):
    return to_markdown(suite_of(summary), summary)


def suite_of(summary):
    return Suite(**summary["suite"])


def row_of(table, policy):
    [row] = [dict(zip(table[0], row, strict=True)) for row in table[1:] if row[1] == policy]
    return row


def test_ranking_by_hand(summary):
    row = row_of(ranking_of(summary, "holdout"), "entropy")
    # Trapezoid: the gain rises over the first of four steps, so the area gains 7/8 of it.
    assert row["AUBC - random"] == f"+1.75 ± {HALF_WIDTH * 7 / 8:.2f}"
    assert row["at 24"] == row["at 96"] == f"+2.0 ± {HALF_WIDTH:.1f}"
    assert row["final mIoU"] == f"{40 + sum(LUCK) / 10 + 2:.1f}"
    assert row["worst third"] == f"{40 + sum(LUCK) / 10 + 2 - 4:.1f}"  # of seven classes: -9, -3 and 0
    assert (row["rank"], row["ms per pick"], row["status"]) == ("1", "10.00", "ranked")
    assert row_of(ranking_of(summary, "test"), "entropy")["final mIoU"] == f"{37.85:.1f}"


def test_order_of_the_table(summary):
    table = ranking_of(summary, "test")
    assert [(row[0], row[1]) for row in table[1:]] == [
        ("1", "entropy"),
        ("2", "random"),
        ("", "look_ahead"),
    ]
    assert table[-1][-1] == "oracle: sees labels"


@pytest.mark.parametrize(
    ("seeds", "status", "rank", "has_p"),
    [(10, "ranked", 1, True), (9, "provisional", 1, True), (5, "provisional", 1, True),
     (4, "not ranked: fewer than 5 seeds", None, False)],
)  # fmt: skip
def test_status_by_number_of_seeds(seeds, status, rank, has_p):
    summary = summarize(make_suite(["random", "entropy"], seeds), make_episodes(seeds))
    entry = summary["policies"]["entropy"]
    assert (entry["status"], entry["rank"]) == (status, rank)
    assert (row_of(ranking_of(summary, "holdout"), "entropy")["p (Holm)"] != "-") == has_p


def test_policy_with_missing_seeds_is_not_ranked():
    episodes = make_episodes()
    del episodes["entropy"][3]
    summary = summarize(make_suite(["random", "entropy"]), episodes)
    row = row_of(ranking_of(summary, "holdout"), "entropy")
    assert (row["rank"], row["status"]) == ("", "incomplete: 9 of 10 episodes")
    difference = summary["views"]["holdout"]["measures"]["AUBC"]["entropy"]["difference"]
    assert difference["n"] == 9  # paired on the seeds that both have
    assert difference["mean"] == pytest.approx(7 / 8 * (20 - GAIN[3]) / 9)


def test_equal_scores_have_equal_ranks():
    episodes = make_episodes()
    episodes |= dict.fromkeys(("bald", "margin"), episodes["entropy"])
    episodes["core_set"] = {s: make_episode("core_set", s, [40 + luck] * 5) for s, luck in enumerate(LUCK)}
    summary = summarize(make_suite(["random", "core_set", "entropy", "look_ahead", "bald", "margin"]), episodes)
    ranks = {policy: entry["rank"] for policy, entry in summary["policies"].items()}
    assert ranks == {"entropy": 1, "bald": 1, "margin": 1, "random": 4, "core_set": 4, "look_ahead": None}
    assert stats.competition_ranks([7, 9, 7, 1]) == [2, 1, 2, 4]
    assert "(1, 2, 2, 4)" in page_of(summary)


def test_report_without_the_baseline(tmp_path):
    episodes = make_episodes() | {"random": {}}
    summary = summarize(make_suite(["random", "entropy"]), episodes)
    write_report(suite_of(summary), summary, tmp_path)
    assert row_of(ranking_of(summary, "holdout"), "entropy")["AUBC - random"] == "-"
    assert "**random: incomplete: 0 of 10 episodes**" in page_of(summary)


def test_oracles_do_not_raise_the_pvalues_of_others(summary):
    with_rival = make_episodes() | {"margin": make_episodes()["entropy"]}
    rivals = summarize(make_suite(["random", "entropy", "margin", "look_ahead"]), with_rival)
    alone = summary["views"]["holdout"]["measures"]["AUBC"]
    difference = alone["entropy"]["difference"]
    assert difference["p_holm"] == difference["p_t"]
    assert "p_holm" not in alone["look_ahead"]["difference"]
    holm = rivals["views"]["holdout"]["measures"]["AUBC"]["entropy"]["difference"]["p_holm"]
    assert holm == pytest.approx(2 * difference["p_t"])


def test_curve_that_ends_early_keeps_its_last_value():
    episodes = make_episodes()
    episodes["entropy"] = {s: make_episode("entropy", s, [40.0, 50.0], cost=[0, 48]) for s in range(10)}
    summary = summarize(make_suite(["random", "entropy"]), episodes)
    curve = summary["curves"]["holdout"]["policies"]["entropy"]["curve"]
    assert [point["mean"] for point in curve] == [40, 45, 50, 50, 50]


def test_figures_of_a_policy_by_hand():
    """Curves that fall in the end, seeds in any order, unequal costs and times."""
    episodes = {}
    for seed in (2, 0, 1):
        episode = make_episode("entropy", seed, [40.0, 50.0, 60.0, 56.0, 44.0 + seed])
        episode.seconds.update(policy=0.5 * seed, env=0.96 * (seed + 1), evaluator=7.0)
        episode.costs["clicks"] = [0, 1, 2, 3, 100 * seed]
        episodes[seed] = episode
    summary = summarize(make_suite(["entropy", "margin"], 3), {"entropy": episodes, "margin": {}})
    entry, measures = summary["policies"]["entropy"], summary["views"]["holdout"]["measures"]
    assert entry["seeds"] == [0, 1, 2]
    assert entry["ms_per_pick"] == pytest.approx(1000 * 1.5 / (3 * 96))
    assert entry["env_ms_per_pick"] == pytest.approx(1000 * 0.96 * 6 / (3 * 96))
    assert entry["cost"] == {"regions": 96, "pixels": 96, "clicks": 100, "images": 96}
    assert measures["final mIoU"]["entropy"]["mean"] == 45
    areas = np.array([(20 + 50 + 60 + 56 + 22 + seed / 2) / 4 for seed in (2, 0, 1)])
    assert measures["AUBC"]["entropy"]["by_unit"] == pytest.approx(dict(zip((2, 0, 1), areas, strict=True)))
    assert measures["AUBC"]["entropy"]["mean"] == pytest.approx(areas.mean())
    assert measures["worst third"]["entropy"]["mean"] == pytest.approx(45 - 4)
    half = scipy_stats.t.ppf(0.975, 2) / math.sqrt(3)
    assert list(summary["curves"]["holdout"]["policies"]["entropy"]["curve"][4].values()) == pytest.approx(
        [45, 45 - half, 45 + half]
    )
    assert summary["policies"]["margin"] == {
        "seeds": [],
        "oracle": False,
        "status": "incomplete: 0 of 3 episodes",
        "rank": None,
        "ms_per_pick": None,
        "env_ms_per_pick": None,
        "cost": {},
    }


def test_ranks_are_those_of_the_first_split():
    """Neither of the alphabet nor of the other split."""
    episodes = {}
    for i, policy in enumerate(("random", "a", "z", "m")):
        episodes[policy] = {s: make_episode(policy, s, [40.0 + [0, 1, 3, 2][i]] * 5) for s in range(5)}
        for episode in episodes[policy].values():
            episode.metrics["miou/test"] = [30.0 - episode.metrics["miou/holdout"][0]] * 5
    entries = summarize(make_suite(episodes, 5), episodes)["policies"]
    assert list(entries) == ["z", "m", "a", "random"]
    assert [entry["rank"] for entry in entries.values()] == [1, 2, 3, 4]


def test_a_setup_written_in_another_order_is_the_same():
    episodes = make_episodes(2)
    setup = {"alenv": "0.1.0", "packages": {"numpy": "1", "torch": "2"}}
    for by_seed in episodes.values():
        for episode in by_seed.values():
            episode.fingerprint.update(setup)
    other = episodes["entropy"][1].fingerprint
    other.clear()
    other |= {"arguments": {"region": None}, "packages": {"torch": "2", "numpy": "1"}}
    other |= {"sha256": "other", "alenv": "0.1.0"}
    assert summarize(make_suite(episodes, 2), episodes)["setups"] == [setup]


def test_files(summary, tmp_path):
    write_report(suite_of(summary), summary, tmp_path)
    text = (tmp_path / "leaderboard.json").read_text(encoding="utf-8")
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert list(read) == sorted(read)
    assert "ms_per_pick" not in text
    assert json.loads((tmp_path / "times.json").read_text())["entropy"]["ms_per_pick"] == pytest.approx(10)
    assert read["views"]["holdout"]["measures"]["AUBC"]["entropy"]["difference"]["mean"] == pytest.approx(1.75)
    for name in ("curves.png", "curves.svg"):
        assert (tmp_path / name).stat().st_size > 10_000
    svg = (tmp_path / "curves.svg").read_bytes()
    write_report(suite_of(summary), summary, tmp_path)
    assert (tmp_path / "curves.svg").read_bytes() == svg


def test_nan_becomes_null(tmp_path):
    one_seed = summarize(make_suite(["random"], 1), make_episodes(1))
    write_report(suite_of(one_seed), one_seed, tmp_path)
    read = json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))
    assert read["curves"]["test"]["policies"]["random"]["curve"][0]["low"] is None


def test_markdown_says_what_was_compared(summary):
    page = page_of(summary)
    for said in (
        "`RegionSelect-v0`",
        '{"pool": "eval"}',
        "Seeds: 10",
        "1,234 pixels",
        "alenv `0.1.0`",
    ):
        assert said in page
    for line in page.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    assert "set-ups" not in page


def test_mixed_setups_are_shown():
    episodes = make_episodes()
    episodes["random"][0] = make_episode("random", 0, [40.0] * 5, alenv="0.2.0")
    page = page_of(summarize(make_suite(["random", "entropy"]), episodes))
    assert "Not comparable: the episodes come from 2 set-ups" in page


def test_names_are_no_formulas_in_the_figure():
    """An odd one would be an error of the parser of formulas."""
    episodes = make_episodes(3)
    odd = "a$b^{c$d"
    episodes[odd] = episodes.pop("entropy")
    figure = draw_curves(summarize(make_suite(episodes, 3), episodes))
    figure.draw_without_rendering()
    assert odd in [axis.get_title() for axis in figure.axes]


def test_terminal_table_fits_80_columns():
    episodes = make_episodes(9)
    episodes["class_balanced_entropy"] = episodes.pop("entropy")
    summary = summarize(make_suite(episodes, 9), episodes)
    console = Console(width=80, record=True)
    print_ranking(suite_of(summary), summary, console)
    text = console.export_text()
    assert "look_ahead" in text
    assert "class_balanced_entropy" in text
    assert "provisional" in text
    assert "…" not in text


def test_figure_has_a_panel_for_every_policy_and_a_line_for_every_split(summary):
    baseline, *rivals = (axis for axis in draw_curves(summary).axes if axis.get_visible())
    assert baseline.get_title() == "random"
    assert [axis.get_title() for axis in rivals] == ["entropy", "look_ahead (oracle)"]
    for axis, policy in ((baseline, "random"), (rivals[0], "entropy")):
        lines = {line.get_label(): line.get_ydata() for line in axis.lines}
        for split in summary["suite"]["splits"]:
            figures = summary["curves"][split]["policies"][policy]
            curve = figures["curve" if policy == "random" else "difference"]
            np.testing.assert_allclose(lines[split], [point["mean"] for point in curve])


def test_titles_of_trained_policies_stay_within_their_panels():
    episodes = make_episodes(3)
    for i in range(4):
        episodes[f"lookahead:agents/pretrained/lookahead_scenes_{i}.pt"] = episodes["entropy"]
    figure = draw_curves(summarize(make_suite(episodes, 3), episodes))
    figure.draw_without_rendering()
    titles = [axis.title for axis in figure.axes if axis.get_visible()]
    assert sum("lookahead_scenes" in title.get_text() for title in titles) == 4
    assert max(title.get_window_extent().width for title in titles) < figure.bbox.width / COLUMNS
