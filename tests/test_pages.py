"""Pages of the environments: every id is on one, and they are the docstrings."""

import re

from alenv.envs.region.region_select import RegionSelectEnv
from alenv.pages import main
from alenv.registration import ENVS, MINING


def test_every_id_is_listed_with_its_page(tmp_path):
    assert main([str(tmp_path / "pages")]) == 0
    index = (tmp_path / "pages" / "README.md").read_text()
    for env_id in (*ENVS, *MINING):
        assert f"`{env_id}`" in index
    for file in re.findall(r"\((\w+\.md)\)", index):
        assert (tmp_path / "pages" / file).stat().st_size > 500
    text = (tmp_path / "pages" / "RegionSelectEnv.md").read_text()
    lines = [line.strip() for line in RegionSelectEnv.__doc__.splitlines()]
    assert [line.strip() for line in text.splitlines()[2:]] == lines[:-1]


def test_a_folder_that_cannot_be_is_refused_in_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
