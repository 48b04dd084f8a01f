"""Names in any script: drawn if a font has them, else told of in one plain line."""

from __future__ import annotations

import warnings

import pytest
from sweep.tiny import config

from numa_sim.cli.app import main
from numa_sim.errors import FontWarning
from numa_sim.results.pictures import facets, fonts
from numa_sim.results.pictures.figure import contents
from numa_sim.sweep import run_sweep

ROWS = [{"replica": 0, "f": name, "n": 1} for name in ("größer λ", "内存")]


@pytest.fixture
def no_fallbacks(monkeypatch):
    monkeypatch.setattr(fonts, "FALLBACKS", ())


def test_characters_without_a_font_are_one_warning_of_ours(no_fallbacks):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        contents(facets.plot(ROWS, metric="n"), "svg")
    (warning,) = caught
    assert isinstance(warning.message, FontWarning)
    assert warning.message.characters == "内存"


def test_other_fonts_that_are_installed_are_asked(monkeypatch):
    """STIX, which comes with matplotlib, has letters that its standard font lacks."""
    odd = "\N{ARC}"
    axes = facets.plot([{"replica": 0, "f": odd, "n": 1}], metric="n")
    axes.set_title(odd)
    monkeypatch.setattr(fonts, "FALLBACKS", ())
    with pytest.warns(FontWarning, match=odd):
        boxes = contents(axes, "png")
    monkeypatch.setattr(fonts, "FALLBACKS", ("no such font", "STIXGeneral"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert contents(axes, "png") != boxes


def test_commands_say_it_once_for_all_pictures(no_fallbacks, tmp_path, capsys):
    cases = [{"label": name, "kernel": {"reclaim": policy}} for name, policy in (("内存", "lru"), ("日", "clock"))]
    run_sweep(config(replicas=1, cases=cases), tmp_path / "sweep", jobs=0)
    for command, file in (("plot", "picture.png"), ("report", "report.html")):
        with pytest.raises(SystemExit) as ended:
            main([command, str(tmp_path / "sweep"), "--out", str(tmp_path / file)])
        assert not ended.value.code
        err = capsys.readouterr().err
        assert err.startswith("numa-sim: note: no font for pictures has 内 存 日: drawn as boxes")
        assert err.count("\n") == 1
