"""Scenario 1: a machine of four nodes boots; its zones, marks, free lists and zonelists are printed and checked."""

from __future__ import annotations

import re

import pytest
from scenarios.shipped import CONFIGS

from numa_sim.cli.showing import view_text
from numa_sim.config import load, topology_of

CONFIG = CONFIGS / "boot-4-nodes.toml"
NODE_PAGES = (32768, 32768, 32768, 16384)
DMA_PAGES = 4096
ZONES = {(0, "DMA"): 4096, (0, "Normal"): 28672, (1, "Normal"): 32768, (2, "Normal"): 32768, (3, "Normal"): 16384}


def shown(view: str, *settings: str) -> str:
    return view_text(view, CONFIG, settings)


def zones(*settings: str) -> dict[tuple[int, str], dict[str, int]]:
    """The numbers of zoneinfo by (node, zone)."""
    found: dict[tuple[int, str], dict[str, int]] = {}
    for block in re.split(r"^(?=Node)", shown("zoneinfo", *settings), flags=re.MULTILINE)[1:]:
        head = re.match(r"Node (\d), zone +(\w+)", block)
        assert head
        found[int(head[1]), head[2]] = {name: int(n) for name, n in re.findall(r"(\w+):? +(\d+)$", block, re.MULTILINE)}
    return found


@pytest.mark.row("S3-019")
def test_frames_begin_at_0_and_nodes_follow_each_other() -> None:
    spans = {zone: (n["start_pfn"], n["spanned"]) for zone, n in zones().items()}
    assert spans == {
        (0, "DMA"): (0, 4096),
        (0, "Normal"): (4096, 28672),
        (1, "Normal"): (32768, 32768),
        (2, "Normal"): (65536, 32768),
        (3, "Normal"): (98304, 16384),
    }
    small = zones("machine.nodes=[{memory='64MiB', cpus='0'}]", "machine.distances=[[10]]", "workload.0.cpus='0'")
    end = max(n["start_pfn"] + n["spanned"] for n in small.values())
    assert end << 12 == 0x4000000, "64 MiB are the addresses 0 to 0x4000000"


def test_marks_are_a_128th_of_the_zone_within_20_and_255_pages() -> None:
    for zone, numbers in zones().items():
        least = min(max(ZONES[zone] // 128, 20), 255)
        assert [numbers[mark] for mark in ("min", "low", "high")] == [least, 2 * least, 3 * least]
    old = zones("kernel.profile=linux-2.4.0")
    assert old[0, "DMA"]["min"] == 4096 // 32, "2.4.0 keeps a 32nd of DMA"
    reserve = ZONES[0, "Normal"] // 256
    assert f"protection: (0, {reserve}, 0)" in shown("zoneinfo").split("zone   Normal")[0]


def test_what_the_boot_left_is_free_in_the_largest_blocks() -> None:
    numbers = zones()
    for line in shown("buddyinfo").splitlines():
        head = re.match(r"Node (\d), zone +(\w+) +(.*)", line)
        assert head
        blocks = [int(n) for n in head[3].split()]
        free = sum(n << order for order, n in enumerate(blocks))
        zone = int(head[1]), head[2]
        assert free == numbers[zone]["free"]
        assert sum(blocks[:9]) <= 9, "what is not a whole block of the last order is one block of each"
        assert ZONES[zone] - free < ZONES[zone] // 7, "kernel image and page descriptors"


@pytest.mark.parametrize("fallback", ["strict24", "nearest"])
def test_zonelists(fallback: str) -> None:
    text = shown("zonelists", f"kernel.numa_fallback={fallback}")
    orders = [[int(n) for n in line.split("order ")[1].split()] for line in text.splitlines() if line[0] == "N"]
    distance = topology_of(load(CONFIG)).distance
    for node, order in enumerate(orders):
        assert order[0] == node
        assert sorted(order) == [0, 1, 2, 3]
        if fallback == "nearest":
            assert [distance[node][other] for other in order] == sorted(distance[node])
        else:
            assert order == [(node - i) % 4 for i in range(4)], "the list of nodes, the last initialised first"
    dma = [line.split("GFP_DMA")[1].split() for line in text.splitlines() if "GFP_DMA" in line]
    assert dma == [["0:DMA"], *[["(empty)"] if fallback == "strict24" else ["0:DMA"]] * 3]
