"""Zone sizes, watermarks and the hash of wait queues against golden traces and the specification's tables."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from golden_traces import Command, replay
from hypothesis import given
from hypothesis import strategies as st

from numa_sim.errors import ConfigError, TopologyError
from numa_sim.kernel import profiles
from numa_sim.kernel.mmzone import (
    build_zonelists,
    free_area_init_node,
    misaligned_zones,
    wait_table_size,
    zone_sizes,
)
from numa_sim.state.constants import GFP_DMA_BIT, GFP_HIGHMEM_BIT, KERNEL_2_4_0, NIL
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

PROFILE = profiles.get("linux-2.4.37")
MIB = 256  # pages


def set_up(nodes: list[dict[str, Any]], ratio: Any = None, reserve: Any = None, profile: Any = PROFILE) -> Kernel:
    frames = max(node["start_pfn"] + sum(node["sizes"]) for node in nodes)
    k = new_kernel(Sizes(nodes=len(nodes), cpus=1, frames=frames, tables=1, section_shift=0))
    map_start = 0
    for i, node in enumerate(nodes):
        map_start = free_area_init_node(
            k, i, node["start_pfn"], node["sizes"], profile, node["holes"], ratio, reserve, map_start
        )
        k.nodes[i].pgdat_next, k.vm[0].pgdat_list = k.vm[0].pgdat_list, i
    build_zonelists(k)
    return k


def marks(k: Kernel, node: int) -> list[Any]:
    """Zone -> class -> [min, low, high]; None where there are none."""
    found: list[Any] = []
    for zone in k.zones[node * 3 : node * 3 + 3]:
        rows = [[int(x) for x in row] if any(row) else None for row in zone.watermarks]
        found.append(rows if zone["size"] else None)
    return found


def own_marks(k: Kernel, node: int) -> list[Any]:
    """Zone -> [min, low, high], where classes meet the same marks."""
    found: list[Any] = []
    for zone in k.zones[node * 3 : node * 3 + 3]:
        rows = {tuple(map(int, row)) for row in zone.watermarks if any(row)}
        assert len(rows) == (1 if zone["size"] else 0)
        found.append(list(rows.pop()) if rows else None)
    return found


def zonelist(k: Kernel, node: int, gfp: int) -> list[int]:
    row = k.zonelists[node, gfp].tolist()
    return row[: row.index(NIL)]


def start_golden(_init: Command, profile: Any = PROFILE) -> Any:
    def step(command: Command) -> None:
        if command.op == "init":
            return
        args = command.args
        k = set_up(args["nodes"], args["ratio"], args.get("lower_zone_reserve_ratio"), profile)
        nodes = []
        masks = {
            "none": 0, "DMA": GFP_DMA_BIT, "HIGHMEM": GFP_HIGHMEM_BIT, "DMA+HIGHMEM": GFP_DMA_BIT | GFP_HIGHMEM_BIT,
        }  # fmt: skip
        for node in range(len(args["nodes"])):
            zones = k.zones[node * 3 : node * 3 + 3]
            for name, mask in masks.items():
                for other in (0, 4, 8, 12):
                    assert zonelist(k, node, mask | other) == zonelist(k, node, mask), name
            nodes.append(
                {
                    "marks": marks(k, node) if profile.lower_zone_reserve_ratio else own_marks(k, node),
                    "zonelists": {name: [z % 3 for z in zonelist(k, node, mask)] for name, mask in masks.items()},
                    "wait_table_size": [int(z.wait_table_size) if z["size"] else None for z in zones],
                    "nr_zones": int(k.nodes[node].nr_zones),
                }
            )
        ours = {"nodes": nodes, "misaligned_zones": len(misaligned_zones(k))}
        if profile.kernel == KERNEL_2_4_0:
            vm = k.vm[0]
            nodes = [{name: node[name] for name in ("marks", "zonelists")} for node in nodes]
            ours = {"nodes": nodes, "freepages": [vm.freepages_min, vm.freepages_low, vm.freepages_high]}
        command.check("result", ours, command.result)

    return step


@pytest.mark.parametrize("kernel", ["2.4.0", "2.4.22", "2.4.37"])
def test_golden_zones(kernel):
    profile = profiles.get(f"linux-{kernel}")
    assert replay("zone-setup", lambda init: start_golden(init, profile), kernel) > 50


# (RAM MB, marks of DMA per class, of NORMAL per class, of HIGHMEM): spec B.4, 2.4.37 columns
B4 = [
    (8, [[20, 40, 60], None, None], None, None),
    (16, [[32, 64, 96], None, None], None, None),
    (64, [[32, 64, 96], [80, 112, 144], None], [None, [96, 192, 288], None], None),
    (128, [[32, 64, 96], [144, 176, 208], None], [None, [224, 448, 672], None], None),
    (256, [[32, 64, 96], [272, 304, 336], None], [None, [255, 510, 765], None], None),
    (
        1024,
        [[32, 64, 96], [912, 944, 976], [1040, 1072, 1104]],
        [None, [255, 510, 765], [1279, 1534, 1789]],
        [None, None, [255, 510, 765]],
    ),
    (
        2048,
        [[32, 64, 96], [912, 944, 976], [2064, 2096, 2128]],
        [None, [255, 510, 765], [9471, 9726, 9981]],
        [None, None, [255, 510, 765]],
    ),
]


@pytest.mark.row("S0-16")
@pytest.mark.parametrize(("ram_mib", "dma", "normal", "highmem"), B4)
def test_watermark_table(ram_mib, dma, normal, highmem):
    sizes = zone_sizes("i386", 0, ram_mib * MIB)
    k = set_up([{"start_pfn": 0, "sizes": sizes, "holes": None}])
    assert marks(k, 0) == [dma, normal, highmem]


def test_memfrac_and_lower_zone_reserve_replace_the_ratios():
    node = [{"start_pfn": 0, "sizes": (4096, 12288, 0), "holes": None}]
    assert marks(set_up(node, (64, 96, 1), (128, 1)), 0)[0] == [[64, 128, 192], [160, 224, 288], None]
    assert marks(set_up(node), 0)[0] == [[32, 64, 96], [80, 112, 144], None]


@pytest.mark.parametrize(("ratio", "reserve"), [((0, 128, 128), None), ((1, 2), None), (None, (256, 0)), (None, (1,))])
def test_ratios_the_kernel_would_divide_by_zero_with_are_refused(ratio, reserve):
    with pytest.raises(ConfigError, match="whole numbers >= 1"):
        set_up([{"start_pfn": 0, "sizes": (4096, 0, 0), "holes": None}], ratio, reserve)


@pytest.mark.row("S0-16")
@pytest.mark.parametrize(
    ("arch", "start_mib", "mib", "expected_mib"),
    [
        ("x86-64", 0, 8, (8, 0, 0)),
        ("x86-64", 0, 16, (16, 0, 0)),
        ("x86-64", 0, 4096, (16, 4080, 0)),
        ("x86-64", 8, 64, (8, 56, 0)),
        ("x86-64", 16, 64, (0, 64, 0)),
        ("x86-64", 4096, 1 << 20, (0, 1 << 20, 0)),
        ("i386", 0, 8, (8, 0, 0)),
        ("i386", 0, 896, (16, 880, 0)),
        ("i386", 0, 1024, (16, 880, 128)),
        ("i386", 512, 512, (0, 384, 128)),
        ("i386", 1024, 3072, (0, 0, 3072)),
    ],
)
def test_zone_sizes(arch, start_mib, mib, expected_mib):
    assert zone_sizes(arch, start_mib * MIB, mib * MIB) == tuple(x * MIB for x in expected_mib)


@given(st.sampled_from(["x86-64", "i386"]), st.integers(0, 1 << 19), st.integers(1, 1 << 19))
def test_zones_cover_the_node(arch, start, frames):
    sizes = zone_sizes(arch, start, frames)
    assert sum(sizes) == frames
    assert min(sizes) >= 0


def test_architecture_limits():
    with pytest.raises(TopologyError, match="4 GiB"):
        zone_sizes("i386", 4000 * MIB, 97 * MIB)
    with pytest.raises(ConfigError, match="x86-64, i386"):
        zone_sizes("alpha", 0, MIB)


def test_wait_table_is_bounded():
    assert [wait_table_size(PROFILE, n) for n in (0, 255, 256, 512, 513 * 256, 1 << 28)] == [1, 1, 1, 2, 1024, 4096]


# Profiles ------------------------------------------------------------------------------------------------------------


def test_profiles():
    assert "linux-2.4.37" in profiles.names()
    with pytest.raises(ConfigError, match=r"did you mean 'linux-2\.4\.37'.*allowed: .*linux-2\.4\.37"):
        profiles.get("linux-2.4.38")
    with pytest.raises(ConfigError, match="registered already"):
        profiles.register(PROFILE)
    assert pickle.loads(pickle.dumps(PROFILE)) is PROFILE
