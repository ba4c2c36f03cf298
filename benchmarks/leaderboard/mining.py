"""Suites on SingleClassMine: what is mined with some budgets, compared by class.

Raw gains differ between classes by orders of magnitude, so a class has a normalised score,
``(G - G_random) / (G_oracle - G_random)`` with G the mean over seeds: 0 is random, 1 the oracle. Intervals and tests
are over classes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from agents.catalogue import make_policy
from agents.episode import Episode
from agents.play import play
from agents.recorders import MiningRecorder
from alenv import mining
from alenv.errors import shown
from alenv.mining.embedded import EmbeddedImages
from benchmarks.leaderboard.suite import Suite
from benchmarks.leaderboard.tables import in_order, number, plus_minus, pvalue
from benchmarks.leaderboard.task import Array, Episodes, Line, Part, Rows, Summary, Values, View
from benchmarks.names import Name, folder

ORACLE = "oracle"
"""The policy whose gain is 1 on the scale of scores."""
GROUPS = {"train": "classes that agents may train on", "heldout": "held-out classes"}
BINS = ((1, 10), (11, 50), (51, 200), (201, 10**9))
"""Positives in the pool, by which the classes are tabulated."""
TRAINED = {"iou": "IoU", "average_precision": "AP"}
MEASURES = {"gain": "gain", "pixels": "pixels", "positives": "positives", **TRAINED}
"""Metrics of episodes, and what they are called once they are averaged over seeds."""

Means = dict[str, dict[str, dict[str, Array]]]
"""By policy, class and metric, the mean over seeds at every budget."""


class MiningTask:
    """See ``benchmarks.leaderboard.task.Task``.

    Args:
        suite: What is run.
    """

    unit, measure, headline = "class", "score", ("score",)
    judges = (ORACLE,)
    rankings = ("score",)
    notes = """\
- Score: (G - G_random) / (G_oracle - G_random) of each class, G the mean gain over seeds; mean over classes. 0 is
  random, 1 the greedy oracle, which sees all labels. Classes on which the oracle gains no more than random have none.
- Beats random on: classes with a larger mean gain; p: two-sided sign test, ties left out.
- Pixels: of the class among the mined images, as a ratio to random's, geometric mean over classes (one pixel is added
  to both). Positives: images of the class among those bought.
- IoU, AP: of a linear head trained on the seed images and the mined ones, class against rest, on test images, in
  points; the difference to random is paired by class. Wins: classes above and below random, equal ones left out.
- Episodes run to the largest budget; smaller budgets are read off along the way."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite

    def check(self) -> None:
        """Check that there are budgets.

        Raises:
            ValueError: If there are none.
        """
        suite = self._suite
        if not suite.budgets:
            raise ValueError("the key 'budgets' is missing: numbers of images, as in budgets = [20, 50, 100]; add it")
        if "budget" in suite.kwargs:
            budget = shown(suite.kwargs["budget"])
            raise ValueError(f"budget={budget} in [kwargs]: a mining suite has budgets; remove it")
        if suite.full_supervision:
            raise ValueError("full_supervision is of RegionSelect; mining is scored by its oracle; remove it")

    def parts(self) -> list[Part]:
        """Return one part for each class, with all seeds.

        Raises:
            ValueError: If no class has enough images.
        """
        suite = self._suite
        if not self.positives:
            least = suite.kwargs.get("positives", 1)
            raise ValueError(f"no class of the pool has more than positives={least} images; use fewer")
        kwargs = {**suite.kwargs, "budget": max(suite.budgets)}
        make_recorder = partial(MiningRecorder, suite.budgets, suite.kwargs)
        return [
            Part(
                f"class {name!r}",
                folder(name),
                {**kwargs, "classes": [name]},
                {"target_class": name},
                suite.seeds,
                make_recorder,
            )
            for name in self.positives
        ]

    def standing(self) -> str:
        """Return that every number of classes is good for a rank."""
        return "ranked"

    def needs(self) -> tuple[str, ...]:
        """Return what every episode has."""
        return ("gain", "pixels", "positives")

    def prepare(self, policies: Sequence[str]) -> dict[str, float]:
        """Play an episode of every policy on the first class, the first one twice: that one finds no caches.

        Returns:
            By policy the seconds of as many such episodes as there are seeds.
        """
        return [{policy: self._seconds(policy) for policy in policies} for policies in (policies[:1], policies)][-1]

    def _seconds(self, name: str) -> float:
        env, part, start = self._suite.env, self.parts()[0], time.monotonic()
        list(play(make_policy(name, env), env, part.kwargs, part.seeds[:1], part.make_recorder, part.options))
        return (time.monotonic() - start) * len(part.seeds)

    @cached_property
    def embedded(self) -> EmbeddedImages:
        """The images of the dataset."""
        kwargs = self._suite.kwargs
        return mining.load(kwargs.get("dataset", "mixture"), kwargs.get("root"), kwargs.get("embeddings"))

    @cached_property
    def positives(self) -> dict[str, int]:
        """Images of each class that can be mined; classes without enough images with or without it are left out."""
        kwargs, embedded = self._suite.kwargs, self.embedded
        split = embedded.splits[kwargs.get("pool", "train")]
        counts = np.zeros(len(embedded.classes), np.int64)
        for start in range(0, len(split), 4096):
            modes = embedded.modes[split[start : start + 4096]]
            held = np.zeros((len(modes), len(embedded.classes) + 1), bool)
            classes = np.where(modes < 0, len(embedded.classes), embedded.mode_class[modes])  # -1 fills up a row
            held[np.arange(len(modes))[:, None], classes] = True
            counts += held[:, :-1].sum(0)
        least, most = kwargs.get("positives", 1) + 1, len(split) - kwargs.get("negatives", 1)
        return {name: int(n) for name, n in zip(embedded.classes, counts, strict=True) if least <= n <= most}

    def views(self, episodes: Episodes, full: Episode | None = None) -> dict[str, View]:
        """Return a view of every group of classes and budget, the largest first."""
        means = self._means(episodes)
        at = list(enumerate(self._suite.budgets))[::-1]
        return {
            f"{group}, {budget} images": self._view(classes, i, means)
            for group, classes in self._groups().items()
            for i, budget in at
        }

    def lines(self, episodes: Episodes) -> dict[str, Line]:
        """Return the scores at all budgets of every group of classes."""
        means, budgets = self._means(episodes), self._suite.budgets
        lines = {}
        for group, classes in self._groups().items():
            at = [self._scores(classes, i, means) for i in range(len(budgets))]
            curves = {p: {c: np.array([scores[p][c] for scores in at]) for c in at[0][p]} for p in at[0]}
            lines[group] = Line("score", "images", [float(budget) for budget in budgets], curves)
        return lines

    def _groups(self) -> dict[str, list[str]]:
        heldout = [name for name in self.positives if name in self.embedded.heldout]
        groups = {"train": [name for name in self.positives if name not in heldout], "heldout": heldout}
        return {group: classes for group, classes in groups.items() if classes}

    def _means(self, episodes: Episodes) -> Means:
        means: Means = {}
        for policy, found in episodes.items():
            by_class: dict[str, list[Any]] = {}
            for episode in found:
                by_class.setdefault(episode.options["target_class"], []).append(episode)
            means[policy] = {name: self._mean(by_class[name]) for name in self.positives if name in by_class}
        return means

    def _mean(self, episodes: list[Any]) -> dict[str, Array]:
        """Average the episodes of a class; one that ends early keeps its last value."""
        return {
            metric: np.mean(
                [
                    np.interp(self._suite.budgets, e.costs["images"], np.array(e.metrics[metric], float))
                    for e in episodes
                ],
                axis=0,
            )
            for metric in MEASURES
            if all(metric in e.metrics for e in episodes)
        }

    def _scores(self, classes: list[str], i: int, means: Means) -> Values:
        """Return the scores at a budget, of the classes that the policy shares with random and the oracle."""
        random, oracle = means.get(self._suite.baseline, {}), means.get(ORACLE, {})
        scores: Values = {}
        for policy, own in means.items():
            scores[policy] = {}
            for name in classes:
                if name in own and name in random and name in oracle:
                    low, high = random[name]["gain"][i], oracle[name]["gain"][i]
                    value = (own[name]["gain"][i] - low) / (high - low) if high > low else np.nan
                    scores[policy][name] = float(value)
        return {policy: by_class for policy, by_class in scores.items() if by_class}

    def _view(self, classes: list[str], i: int, means: Means) -> View:
        measures, shown = {"score": self._scores(classes, i, means)}, {}
        for metric, title in MEASURES.items():
            of_metric = {
                policy: {name: float(means[policy][name][metric][i]) for name in by_class}
                for policy, by_class in measures["score"].items()
                if all(metric in means[policy][name] for name in by_class)
            }
            if of_metric:
                measures[title] = of_metric
        baseline = measures["pixels"].get(self._suite.baseline, {})
        for policy, by_class in measures["score"].items():
            pixels = np.array([(measures["pixels"][policy][name], baseline[name]) for name in by_class])
            shown[policy] = {
                "pixel_ratio": float(np.exp(np.mean(np.log((pixels[:, 0] + 1) / (pixels[:, 1] + 1))))),
                "score_by_positives": by_positives(by_class, self.positives),
            }
        return View(measures, shown, 1.0)

    def by_class(self, episodes: Episodes) -> dict[str, Values]:
        """Return the scores, which are those of classes, of every view."""
        return {f"score, {name}": view.measures["score"] for name, view in self.views(episodes).items()}

    def columns(self, summary: Summary, view: str) -> tuple[list[str], dict[str, list[str]]]:
        """Return wins, pixels and positives, and the scores of trained heads if heads were trained."""
        found = summary["views"][view]
        measures, baseline = found["measures"], summary["suite"]["baseline"]
        trained = [title for title in TRAINED.values() if title in measures]
        header = [f"beats {baseline} on", "p (sign)", f"pixels / {baseline}'s", "positives"]
        for title in trained:
            header += [title, f"{title} - {baseline}", "wins (p)"]
        cells = {}
        for policy, figures in found["figures"].items():
            wins = measures["gain"][policy].get("difference", {}).get("wins", {"up": 0, "down": 0, "ties": 0})
            share = f"{wins['up']} of {sum(wins[k] for k in ('up', 'down', 'ties'))}"
            share += f", {wins['ties']} ties" if wins["ties"] else ""
            cells[policy] = [share, pvalue(wins.get("p_sign")), number(figures["pixel_ratio"], 2)]
            cells[policy].append(number(measures["positives"][policy]["mean"]))
            for title in trained:
                cells[policy] += _trained(measures[title].get(policy, {}))
        return header, cells

    def tables(self, summary: Summary, view: str) -> dict[str, Rows]:
        """Return the scores by the number of positives in the pool."""
        figures = summary["views"][view]["figures"]
        bins = list(dict.fromkeys(name for found in figures.values() for name in found["score_by_positives"]))
        rows: Rows = [["policy", *bins]]
        for policy in (policy for policy in in_order(summary) if policy in figures):
            found = [figures[policy]["score_by_positives"].get(name) for name in bins]
            rows.append([Name(policy), *(f"{number(f['score'], 2)} ({f['classes']})" if f else "-" for f in found)])
        return {"Score by the number of positives in the pool (classes)": rows}


def _trained(figures: Summary) -> list[str]:
    difference = figures.get("difference", {})
    wins = difference.get("wins")
    won = f"{wins['up']}:{wins['down']} ({pvalue(wins['p_sign'])})" if wins else "-"
    return [number(figures.get("mean")), plus_minus(difference, 2), won]


def by_positives(scores: dict[str, float], counts: dict[str, int]) -> dict[str, Any]:
    """Average scores over classes with similar numbers of positives; those without a score are left out."""
    bins = {}
    for low, high in BINS:
        found = [score for name, score in scores.items() if low <= counts[name] <= high and not np.isnan(score)]
        if found:
            name = f"{low} to {high}" if high < 10**9 else f"{low} and more"
            bins[name] = {"classes": len(found), "score": float(np.mean(found))}
    return bins
