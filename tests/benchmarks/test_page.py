"""The HTML report: what stands in it, and what a browser makes of it."""

import base64
import io
import json
import re
import shutil
from functools import partial

import gymnasium
import numpy as np
import pytest
from PIL import Image

from agents.catalogue import make_policy
from agents.play import play
from agents.recorders import RegionRecorder
from benchmarks.leaderboard.film import film
from benchmarks.leaderboard.page import Bars, Board, Curve, Film, Frame, Line, Sample, Table, to_html

EVIL = "own:</script><b>&\"'{{ 7*7 }}"
POLICIES = ["bald", EVIL, "random"]
LONG = "lookahead:" + "results/" * 12 + "best.pt"


def make_page(policies=POLICIES):
    line = Line([0, 24, 48], [30.0, 40.0, 45.0], [28.0, 38.0, 44.0], [32.0, 42.0, 46.0])
    pixel = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    board = Board(
        id="suite-quick",
        name="quick",
        policies=policies,
        baseline="random",
        warnings=["Not comparable"],
        tables=[Table("Ranking: holdout", [["rank", "policy"], *([str(i), p] for i, p in enumerate(policies))], [1])],
        curves=[Curve(name, "mIoU", "regions", dict.fromkeys(policies, line)) for name in ("holdout", "test" * 20)],
        samples=[
            Sample("AUBC", {p: {"0": float(i), "1": i + 0.5} for i, p in enumerate(policies)}, {2: 12.706}),
        ],
        bars=[Bars("final IoU", ["road", "sky"], {p: [50.0, None] for p in policies})],
        films=[Film(p, [Frame("24 regions", pixel, 1, 1)]) for p in policies],
        notes=["IoU in points", LONG],
    )
    return to_html("Leaderboard", "python -m benchmarks.leaderboard", [board])


def test_names_are_escaped_and_data_survive():
    page = make_page()
    assert "<b>" not in page
    assert "{{ 7*7 }}" in page
    [data] = re.findall(r'<script type="application/json" id="boards">(.*?)</script>', page, re.S)
    [board] = json.loads(data)
    assert board["policies"] == POLICIES
    assert board["curves"][0]["lines"][EVIL]["mean"] == [30.0, 40.0, 45.0]


def test_it_needs_nothing_besides_itself_and_is_readable_without_script():
    page = make_page()
    outside = [link for link in re.findall(r'(?:src|href)="([^"]*)"', page) if not link.startswith(("data:", "#"))]
    assert outside == []
    assert "@import" not in page
    assert "url(" not in page
    tables = page[: page.index("<script")]
    assert "<td>0</td><td" in tables
    assert "Not comparable" in tables
    assert "IoU in points" in tables
    assert tables.count("24 regions</figcaption>") == 3


def test_equal_results_give_equal_pages():
    assert make_page() == make_page()


def test_a_film_shows_what_was_picked():
    kwargs = {"pool": "eval", "budget": 48, "picks": 8, "segmenter": "lda"}
    policy, make_recorder = make_policy("entropy", "RegionSelect-v0"), partial(RegionRecorder, ("holdout",))
    [episode] = play(policy, "RegionSelect-v0", kwargs, [3], make_recorder)
    frames = film(episode)
    assert [frame.caption.split(":")[0] for frame in frames] == [f"{n} regions" for n in (8, 16, 24, 32, 40, 48)]
    assert f"mIoU on holdout {episode.metrics['miou/holdout'][-1]:.4g}" in frames[-1].caption
    env = gymnasium.make("RegionSelect-v0", **kwargs, render_mode="rgb_array")
    env.reset(seed=3)
    for done, action in enumerate(episode.actions, start=1):
        env.step(action)
        if done in (8, 48):
            frame = frames[done // 8 - 1]
            picture = np.array(Image.open(io.BytesIO(base64.b64decode(frame.picture.partition(",")[2]))), int)
            assert picture.shape == (frame.height, frame.width, 3) == (288, 384, 3)
            assert np.abs(picture - env.render()).mean() < 12  # of 255: it is compressed


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1280, "light")])
def test_in_a_browser(tmp_path, width, scheme):
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright to see pages in a browser")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium is installed")
    (tmp_path / "index.html").write_text(make_page([*POLICIES, LONG]), encoding="utf-8")
    with playwright.sync_playwright() as play_in:
        browser = play_in.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((tmp_path / "index.html").as_uri())
        lines = page.locator("[data-part=curves] polyline")
        lines.first.wait_for(state="attached")
        assert lines.count() == 4
        assert page.locator("[data-part=classes] rect").count() == 4
        assert page.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
        _toggle(page, lines)
        _walk(page)
        _choose(page)
        browser.close()
    assert said == []


def _toggle(page, lines):
    page.get_by_role("checkbox", name="bald").press("Space")
    assert lines.count() == 3
    assert not page.locator("[data-film=bald]").is_visible()
    page.get_by_role("checkbox", name="bald").press("Space")
    assert lines.count() == 4
    assert page.locator("[data-film=bald]").is_visible()


def _walk(page):
    curves = page.locator("[data-part=curves]")
    curves.press("ArrowRight")
    assert "24 regions: bald 40.0" in page.locator("[data-part=values]").inner_text()
    box = curves.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 50)
    assert "48 regions" in page.locator("[data-part=values]").inner_text()


def _choose(page):
    told = page.locator("[data-part=differences]")
    assert "\u22122.00 ± 0.00" in told.inner_text()
    page.get_by_role("combobox", name="To").select_option(label="bald")
    assert "+2.00 ± 0.00" in told.inner_text()
