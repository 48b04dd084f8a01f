"""What lies side by side can be told apart: in colour, by red-green blind readers, and in a grey print."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from picture_runs import recorded

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import ALL, Plots, drawing, latency_breakdown, node_fill, style
from numa_sim.results.pictures.figure import Picture, save
from numa_sim.state.counters import TIME_PARTS

DEUTERANOPIA = np.array(
    # Machado, Oliveira, Fernandes 2009, severity 1.0; on linear RGB.
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
GREY = np.tile([0.2126, 0.7152, 0.0722], (3, 1))
VISIONS = {"normal": np.eye(3), "deuteranopia": DEUTERANOPIA, "protanopia": PROTANOPIA, "grey": GREY}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color, vision):
    """CIE L*a*b* of a colour as it is seen."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(VISIONS[vision] @ linear, 0, 1) / [0.9505, 1.0, 1.089]
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def apart(one, other, vision):
    """How different two colours look: 2.3 is just noticeable."""
    return float(np.linalg.norm(lab(one, vision) - lab(other, vision)))


def box_of(text):
    """Where a text is, without the arrow of an annotation."""
    renderer = text.figure.canvas.get_renderer()
    if isinstance(text, Annotation):
        text.update_positions(renderer)
    return Text.get_window_extent(text, renderer)


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_parts_of_time_differ_in_hatch_or_colour(vision):
    for one, other in combinations(TIME_PARTS, 2):
        (color, hatch), (color_2, hatch_2) = latency_breakdown.PARTS[one], latency_breakdown.PARTS[other]
        assert hatch != hatch_2 or apart(color, color_2, vision) > 8, (one, other)


@pytest.mark.parametrize("vision", VISIONS)
def test_neighbouring_lines_differ_in_dashes_and_stand_out_from_paper(vision):
    looks = [style.line(i) for i in range(35)]
    for one, other in pairwise(looks):
        assert one["linestyle"] != other["linestyle"]
    for one, other in pairwise(looks[:3]):
        assert vision == "grey" or apart(one["color"], other["color"], vision) > 15
    assert all(apart(look["color"], "white", vision) > 25 for look in looks)
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 35


@pytest.mark.parametrize("vision", VISIONS)
def test_the_colours_of_heatmaps_only_become_lighter(vision):
    from matplotlib import colormaps

    lightness = [lab(colormaps[style.HEAT](i), vision)[0] for i in range(0, 256, 8)]
    assert all(after > before for before, after in pairwise(lightness))


@pytest.mark.parametrize("name", [name for name, each in ALL.items() if each.source == "run"])
def test_text_is_never_smaller_than_seven_points_and_stays_in_a_column(name):
    axes = Picture(figsize=(3.3, 2.4), layout="constrained").add_subplot()
    ALL[name].plot(recorded(), axes)
    figure = axes.figure
    FigureCanvasAgg(figure).draw()
    said = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert all(text.get_fontsize() >= 7 for text in said)
    written = [t for t in axes.texts if t.get_text()]
    boxes = [box_of(text) for text in written]
    assert all(box.x1 <= figure.bbox.width + 1 for box in boxes), "labels are cut off at the edge of the column"
    for one, other in combinations(boxes, 2):
        overlap = min(one.y1, other.y1) - max(one.y0, other.y0)
        beside = min(one.x1, other.x1) - max(one.x0, other.x0)
        assert min(overlap, beside) < 2, "two labels lie on top of each other"


def luminance(color):
    rgb = np.array(to_rgb(color))
    return float(GREY[0] @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4))


def test_numbers_on_bars_can_be_read():
    """Contrast as WCAG defines it: at least 3 is asked of what is large or bold."""
    for part, (color, _) in latency_breakdown.PARTS.items():
        light, dark = sorted((luminance(color), luminance(style.ink_on(color))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3, part


def test_labels_at_line_ends_keep_their_order_and_distance():
    axes = Picture(figsize=(5, 2)).add_subplot()
    axes.set_ylim(0, 100)
    style.label_ends(axes, [(f"{y}", y, style.line(i)) for i, y in enumerate((50.0, 51.0, 49.0, float("nan")))])
    FigureCanvasAgg(axes.figure).draw()
    at = {text.get_text(): box_of(text) for text in axes.texts}
    assert list(at) == ["50.0", "51.0", "49.0"]
    assert at["49.0"].y1 <= at["50.0"].y0 + 2
    assert at["50.0"].y1 <= at["51.0"].y0 + 2


def test_more_lines_than_labels_have_room_say_how_many():
    axes = Figure(figsize=(5, 2)).add_subplot()
    style.label_ends(axes, [(str(i), i / 64, style.line(i)) for i in range(64)])
    labels = [text.get_text() for text in axes.texts]
    assert len(labels) < 20
    assert any(label.startswith("and ") and label.endswith(" more") for label in labels)


# Files and names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_the_same_picture_is_the_same_file(form, tmp_path):
    files = [save(node_fill.plot(recorded()), tmp_path / f"{i}.{form}").read_bytes() for i in range(2)]
    assert files[0] == files[1]
    assert len(files[0]) > 1000


@pytest.mark.parametrize(
    ("name", "said"), [("fill.jpg", r"allowed: \*\.png, \*\.svg, \*\.pdf"), ("no/such/fill.png", "cannot be written")]
)
def test_a_file_that_cannot_be_written_is_named(name, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        save(node_fill.plot(recorded()), tmp_path / name)


def test_pictures_are_found_by_name():
    assert drawing("node_fill", "run").plot is node_fill.plot
    with pytest.raises(ConfigError, match=r"there is no picture 'fill'; of a run there are \(allowed: node_fill, "):
        drawing("fill", "run")
    with pytest.raises(ConfigError, match=r"facets is drawn from a sweep; of a run there are"):
        drawing("facets", "run")
    plots = recorded().plot
    assert "node_fill" in dir(plots)
    assert "facets" not in dir(plots)
    with pytest.raises(AttributeError, match="no picture 'fill'"):
        plots.fill()
    assert plots.node_fill.__doc__ == node_fill.plot.__doc__
    with pytest.raises(ConfigError, match="a sweep has no overview"):
        Plots([], "sweep")()


def test_every_module_with_a_plot_is_in_the_list():
    folder = Path(node_fill.__file__).parent
    drawn = {file.stem for file in folder.glob("*.py") if "\ndef plot(" in file.read_text(encoding="utf-8")}
    assert drawn - {"object_graph"} == set(ALL)


def test_importing_results_is_light():
    heavy = ("pyarrow", "matplotlib", "pandas", "rich", "networkx", "scipy.stats")
    code = f"import numa_sim.results, numa_sim.results.pictures, sys; print([m for m in {heavy} if m in sys.modules])"
    root = str(Path(__file__).parents[3])
    variables = {**os.environ, "PYTHONPATH": root, "NUMBA_DISABLE_JIT": "1"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables)
    assert out.stdout.strip() == "[]"
