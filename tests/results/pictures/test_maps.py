"""The machine's graph and the access heatmap."""

from __future__ import annotations

from math import dist

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from picture_runs import recorded

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import access_map, object_graph, topology
from numa_sim.topology import preset

MACHINES = {
    "xeon-platinum-8269cy-2s": 2, "xeon-4s-ring": 4, "xeon-platinum-8160-8s": 8, "itanium-9140n-16n": 17,
}  # fmt: skip


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("name", MACHINES)
def test_every_node_and_link_is_drawn_and_no_node_covers_another(name):
    machine = preset(name)
    axes = topology.plot(machine)
    places = np.concatenate([c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)])
    assert len(places) == MACHINES[name]
    drawn = sum(len(c.get_segments()) for c in axes.collections if isinstance(c, LineCollection))
    assert drawn == len(machine.links)
    figure = axes.figure
    FigureCanvasAgg(figure).draw()
    pixels = axes.transData.transform(places)
    diameter = np.sqrt(axes.collections[-1].get_sizes()[0]) * figure.dpi / 72
    assert min(dist(a, b) for i, a in enumerate(pixels) for b in pixels[:i]) > 1.1 * diameter
    box = axes.get_window_extent()
    assert all(box.contains(*pixel) for pixel in pixels)


def test_links_say_distance_and_latency():
    machine = preset("xeon-platinum-8269cy-2s")
    assert f"{machine.distance[0][1]}\n143/144 ns" in texts(topology.plot(machine))
    many = topology.plot(preset("xeon-platinum-8160-8s"))
    assert "distance 21, 189 ns: 12 links" in [t.get_text() for t in many.get_legend().get_texts()]


def test_links_too_many_to_draw_are_counted():
    axes = topology.plot(preset("altix-64n"))
    assert "distance 30, 270 ns: 896 links (not drawn)" in [t.get_text() for t in axes.get_legend().get_texts()]


def test_nodes_say_what_they_have():
    machine = preset("xeon-platinum-8269cy-2s")
    first = next(text for text in texts(topology.plot(machine)) if text.startswith("node0"))
    assert first.splitlines()[1:] == ["52 CPUs", "127 GiB", "78 ns"]
    crowded = topology.plot(preset("itanium-9140n-16n"))
    assert {"0", "16"} <= set(texts(crowded))
    assert "16 nodes: 8 CPUs" in crowded.get_legend().get_title().get_text()


def test_nodes_without_cpus_have_another_shape():
    axes = topology.plot(preset("epyc-9224-2s-nps2-cxl"))
    shapes = [len(c.get_paths()[0].vertices) for c in axes.collections if isinstance(c, PathCollection)]
    assert len(set(shapes)) == 2


def test_a_run_is_drawn_as_its_machine():
    axes = topology.plot(recorded())
    assert any("6 MiB" in text for text in texts(axes))


def test_the_layout_is_fixed():
    assert topology.places(2) == {0: (0.0, 0.0), 1: (2.0, 0.0)}
    assert topology.places(8) == topology.places(8)
    assert len(set(topology.places(16).values())) == 16


# Access map -----------------------------------------------------------------------------------------------------------


def test_the_heatmap_has_every_access():
    run = recorded()
    frame = run.access_map.to_pandas()
    process = frame.groupby("process").accesses.sum().idxmax()
    mine = frame[frame.process == process]
    axes = access_map.plot(run)
    assert axes.get_title(loc="left") == "Accesses by address, db"
    (mesh,) = [c for c in axes.collections if hasattr(c, "get_coordinates")]
    heat, corners = mesh.get_array(), mesh.get_coordinates()
    widths_ms = np.diff(corners[0, :, 0])  # the time axis is in ms
    region_pages = mine.bytes.iloc[0] // 4096
    assert np.ma.sum(heat * widths_ms * region_pages) == pytest.approx(mine.accesses.sum())
    assert (~np.ma.getmaskarray(heat)).sum() == len(mine)


def table(rows):
    names = ("t_ns", "length_ns", "process", "start", "bytes", "accesses")
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


MIB = 1 << 20


def test_memory_nobody_used_is_left_out():
    rows = [(1000, 1000, 1, start, MIB, 5) for start in (0, MIB, 1 << 40, (1 << 40) + MIB)]
    axes = access_map.plot(table(rows))
    (mesh,) = [c for c in axes.collections if hasattr(c, "get_coordinates")]
    shown = ~np.ma.getmaskarray(mesh.get_array())[:, 0]
    assert shown.tolist() == [True, True, False, True, True]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "0x0"
    assert "0x10000000000" in labels


def test_large_memories_are_drawn_in_larger_parts():
    rows = [(1000, 1000, 1, i * MIB, MIB, 1) for i in range(3000)]
    (mesh,) = [c for c in access_map.plot(table(rows)).collections if hasattr(c, "get_coordinates")]
    heat = mesh.get_array()
    assert 256 < heat.shape[0] <= 512
    pages = np.array([8 * 256] * (heat.shape[0]))
    assert (heat[:, 0] * pages * 1e-3).sum() == pytest.approx(3000)


def test_long_runs_are_drawn_in_longer_parts_that_can_be_seen():
    """An hour in bins of 10 ms of which one in 6000 has an access: no column is narrower than a pixel."""
    minute, bin_ns = 60_000_000_000, 10_000_000
    rows = [(i * minute + bin_ns, bin_ns, 1, 0, MIB, 256) for i in range(60)]
    (mesh,) = [c for c in access_map.plot(table(rows)).collections if hasattr(c, "get_coordinates")]
    heat, edges = mesh.get_array(), mesh.get_coordinates()[0, :, 0]
    assert 250 < heat.shape[1] <= 500
    assert (~np.ma.getmaskarray(heat)).sum() == 60
    assert np.diff(edges)[:-1].min() > edges[-1] / 501
    assert np.ma.sum(heat * np.diff(edges) * 1e3 * 256) == pytest.approx(60 * 256)


def test_another_process_can_be_chosen():
    rows = [(1000, 1000, 7, 0, MIB, 5), (1000, 1000, 8, 0, MIB, 1)]
    assert access_map.plot(table(rows)).get_title(loc="left").endswith("process 7")
    assert access_map.plot(table(rows), process=8).get_title(loc="left").endswith("process 8")
    with pytest.raises(ConfigError, match=r"no process 9 \(allowed: 7, 8\)"):
        access_map.plot(table(rows), process=9)


def test_no_accesses_say_so():
    assert texts(access_map.plot(table([]))) == ["no accesses"]


def test_the_object_graph_takes_axes_too():
    graph = nx.DiGraph()
    graph.add_node(("task_struct", 1), label="task")
    graph.add_node(("mm_struct", 1), label="mm")
    graph.add_edge(("task_struct", 1), ("mm_struct", 1), relation="mm")
    axes = Figure().add_subplot()
    assert object_graph.plot(graph, axes) is axes
    assert {"task", "mm"} <= set(texts(axes))
