"""Names of policies can be anything that a file can be called: each place writes them as it must."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from benchmarks.leaderboard.suite_file import read_suite
from benchmarks.leaderboard.tables import markdown_table
from benchmarks.names import Name, code, folder, markdown, printable, shortened
from benchmarks.terminal import print_table, say

ODD = ["[", "a$b^{c$d", "x|y", "[red]x[/red]", "`a``b`", "<b>", "*a*", "a\nb", "\udcff", "ü/ñ", "雪" * 50, "a" * 400]
ODD += ["\x1b[31m", "\u202eevil", "'\"", "..", ".", "/", "a/../b", "con", " ", "\0"]
names = st.text(st.sampled_from("ab1_./:~- $|é\n"), max_size=8) | st.text(max_size=300)


@given(st.lists(names, max_size=6, unique=True))
def test_different_names_have_different_folders(some):
    folders = [folder(name) for name in some]
    assert len(set(folders)) == len(some)
    for name in folders:
        assert re.fullmatch(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]{0,199}", name)


def test_names_that_once_shared_a_folder():
    several = ["m:agents/pretrained/a_b.pt", "m:agents/pretrained_a/b.pt", "m:agents_pretrained/a_b.pt"]
    several += ["m:a/b_best.pt", "m:a/b/best.pt", "m:agents/pretrained/x_best.pt", "m:agents/pretrained/x/best.pt"]
    several += ["a.b:c", "a:b.c", "a:b/c", "a:b_c"]
    assert len({folder(name) for name in several}) == len(several)


def test_ordinary_names_keep_their_folders():
    for suite in Path("configs/suites").glob("*.toml"):
        for policy in read_suite(suite).policies:
            assert folder(policy) == policy.replace(":", ".").replace("/", "_")
    assert folder("ralis:results/agents/ralis/best.pt") == "ralis.results_agents_ralis_best.pt"


def test_shortened_in_the_middle():
    assert shortened("agents/pretrained/best.pt", 20) == "agents/pret…/best.pt"
    assert shortened("lookahead:agents/pretrained/lookahead_lda_0.pt", 26) == "lookah…/lookahead_lda_0.pt"
    assert shortened("random", 6) == "random"


@given(names, st.integers(1, 60))
def test_shortened_fits(name, width):
    short = shortened(name, width)
    assert cell_len(short) <= width
    assert short.isprintable()
    if cell_len(printable(name)) <= width:
        assert short == printable(name)


@given(names)
def test_a_name_is_one_cell_of_a_markdown_table(name):
    header, _, row = markdown_table([["policy", "score"], [Name(name), "1"]]).split("\n")
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == len(re.findall(r"\|", header))
    assert not re.search(r"(?<!\\)(?:\\\\)*[`<\[\]*$]", markdown(name))


def test_names_that_need_no_escape_have_none():
    for name in ("class_balanced_entropy_1.0", "lookahead:agents/pretrained/lookahead_lda_0.pt"):
        assert markdown(name) == name
        assert code(name) == f"`{name}`"
    assert code("a`b") == "`` a`b ``"


@pytest.mark.parametrize("name", ODD)
def test_terminals_show_names_as_they_are(name):
    console = Console(width=80, record=True)
    rows = [["policy", "score", "status"], [Name(name), "+1.75 ± 15.05", "not ranked: fewer than 5 seeds"]]
    print_table(console, name, rows, left=("policy", "status"))
    text = console.export_text()
    say(console, name)
    assert console.export_text() == f"{printable(name)}\n"
    assert shortened(name, 30) in text
    assert "+1.75 ± 15.05" in text
    assert "not ranked" in text
    assert "5 seeds" in text
    assert all(cell_len(line) <= 80 for line in text.splitlines())


def test_all_columns_fit_a_terminal_of_80():
    path = "misical:agents/pretrained/misical_mixture_{}.pt"
    rows = [["rank", "policy", "score", "beats random on", "p (sign)", "positives", "status"]]
    rows += [["1", Name(path.format(i)), "+0.25 ± 0.09", "33 of 48", "<0.001", "1.4", "provisional"] for i in (0, 1)]
    console = Console(width=80, record=True)
    print_table(console, "one", rows, left=("policy", "status"))
    lines = console.export_text().splitlines()
    assert sum("provisional" in line and "+0.25 ± 0.09" in line and "33 of 48" in line for line in lines) == 2
    assert [line.split()[1][-4:] for line in lines if "provisional" in line] == ["0.pt", "1.pt"]
    assert max(map(len, lines)) <= 80
