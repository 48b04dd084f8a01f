"""The page of pictures shows each picture there is, and its script draws them."""

import importlib.util
import re
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from numa_sim.results.pictures import ALL

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pictures.md"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("draw_gallery", ROOT / "experiments" / "pictures" / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_is_shown_and_explained():
    page = PAGE.read_text()
    for name in ALL:
        assert f"\n`{name}`" in page, name
        assert f"images/pictures/{name}.png" in page, name


def test_the_script_draws_what_the_page_shows(script):
    shown = re.findall(r"images/pictures/(\w+)\.png", PAGE.read_text())
    assert set(shown) == set(script.PICTURES)
    files = {file.stem: file.stat().st_size for file in script.TARGET.glob("*.png")}
    assert set(files) == set(shown)
    assert sum(files.values()) < 1_500_000


def test_the_script_draws_from_a_real_run(script):
    axes = script.PICTURES["node_fill"]()
    assert isinstance(axes, Axes)
    assert len(axes.lines) == 2
