"""Small random machines: everything about them is drawn from one seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twin.random_draw import Draw, random_pattern
from twin.random_families import bind, have_children, have_threads
from twin.random_policies import have_policies

from numa_sim.config.machine import MMUS
from numa_sim.config.model import Config
from numa_sim.topology import Curve, Link, Node, Topology, build_topology

MIB = 1 << 20
KERNEL_BYTES = 3 * MIB
"""About what the kernel's image and all below it take from node 0."""
EVENTS = 400_000


def random_config(seed: int, accesses: int = 6000, families: bool = False) -> Config:
    """A machine of 1 to 3 nodes and 1 to 6 CPUs with 1 to 8 tasks that issue about `accesses` accesses.

    With `families` every task has children and threads, else few have; and the run ends after 0.4 s at the latest, for
    some would thrash for hours.

    Three of four are short of memory: the tasks map 1.3 to 2.2 times of it.
    """
    d = Draw(seed)
    n = d.number(1, 3)
    cpus = _cpus(d, n)
    memory = [d.number(4, 20) * MIB // 2 for _ in range(n)]
    memory[0] += KERNEL_BYTES + MIB
    if n > 1 and d.chance(0.3):
        node = d.number(1, n - 1)
        memory[node] = 0 if cpus[node] else memory[node]
    distances = [[10 if i == j else d.number(11, 40) for j in range(n)] for i in range(n)]
    if d.chance(0.7):
        distances = [[distances[min(i, j)][max(i, j)] for j in range(n)] for i in range(n)]
    short = d.chance(0.75)
    pages = (sum(memory) - KERNEL_BYTES - MIB) // 4096
    machine = {
        "nodes": [
            {"memory": f"{size}B", "cpus": ",".join(map(str, numbers))}
            for size, numbers in zip(memory, cpus, strict=True)
        ],
        "distances": distances,
        "latency_ns": [[d.number(40, 400) for _ in range(n)] for _ in range(n)],
        "bandwidth": [f"{d.spread(10**8, 5 * 10**10)}B/s" for _ in range(n)],
        "arch": d.one("x86-64", "x86-64", "i386"),
        "cache_hit_ratio": d.one(0.0, 0.0, 0.5, 0.93, 1.0),
        "tlb": _tlb(d),
        "memory": {"model": d.one("queue", "queue", "curve", "none"), "window": f"{d.spread(200, 20_000)}ns"},
        "swap": _swap(d, pages, short),
    }
    if n > 1 and d.chance(0.5):
        # Nodes without CPUs forward nothing, so with such nodes every pair has its link.
        mesh = not all(cpus)
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if mesh or j == i + 1 or d.chance(0.5)]
        machine["links"] = [{"a": a, "b": b, "bandwidth": f"{d.spread(10**8, 10**10)}B/s"} for a, b in pairs]
    # Draws of their own, so that these choices do not change what else is drawn.
    own = Draw(seed + 10**6)
    machine["disk"] = _disks(own, machine["swap"])
    kernel = _kernel(d)
    kernel["switches"]["locks"] = seed % 2 == 1
    kernel["switches"]["plugging"] = own.chance(0.85)
    own = Draw(seed + 2 * 10**6)
    if own.chance(0.3):
        kernel = _of_2_4_0(own, kernel)
    own = Draw(seed + 4 * 10**6)
    if own.chance(0.15):
        kernel = _of_2_2(own, kernel)
    own = Draw(seed + 3 * 10**6)
    if own.chance(0.3):
        machine["mmu"] = own.one(*MMUS[machine["arch"]])
    kernel["switches"]["table_cache"] = own.chance(0.5)
    workloads = _workloads(d, [c for numbers in cpus for c in numbers], pages, short, accesses)
    own = Draw(seed + 5 * 10**6)
    if own.chance(0.4) or families:
        kernel["switches"]["copy_on_write"] = own.chance(0.8)
        for workload in workloads:
            have_children(own, workload)
    own = Draw(seed + 6 * 10**6)
    if own.chance(0.4) or families:
        for workload in workloads:
            have_threads(own, workload)
    own = Draw(seed + 7 * 10**6)
    for workload in workloads:
        bind(own, workload["program"], sum(map(len, cpus)))
    own = Draw(seed + 7 * 10**6)
    if own.chance(0.4) and kernel["profile"] != "linux-2.2":
        for workload in workloads:
            have_policies(own, workload, memory)
    return Config.of(
        machine=machine,
        kernel=kernel,
        costs={name: f"{d.spread(10, 3000)}ns" for name in ("context_switch", "ipi", "ipi_handler", "end_io")},
        workload=workloads,
        run={
            "seed": seed,
            "record_events": EVENTS,
            **({"until": f"{d.spread(10**6, 10**9)}ns"} if d.chance(0.15) else {}),
            **({"until": "400ms"} if families else {}),
        },
    )


def random_topology(config: Config) -> Topology:
    """The configured machine, built by the test; with measured curves if the configuration asks for them."""
    machine = config.machine
    assert machine.nodes is not None
    assert machine.distances is not None
    links = machine.links
    topology = build_topology(
        "inline",
        config.origin,
        [Node(i, node.memory, tuple(node.cpus)) for i, node in enumerate(machine.nodes)],
        machine.distances,
        latency_ns=machine.latency_ns,
        bandwidth=machine.bandwidth,
        links=None if links is None else [Link(x.a, x.b, x.bandwidth, f"link{x.a}-{x.b}") for x in links],
    )
    if machine.memory.model != "curve":
        return topology
    shape = ((1, 100), (30, 110), (60, 170), (90, 400), (97, 900))
    curves = [
        None if i == 2 else Curve(f"node{i}", tuple((bandwidth * at // 100, ns + i) for at, ns in shape))
        for i, bandwidth in enumerate(topology.bandwidth)
    ]
    return replace(topology, curves=tuple(curves))


def _cpus(d: Draw, n: int) -> list[list[int]]:
    """CPU numbers of each node, dealt out; later nodes may have none."""
    total = d.number(1, 6)
    homes = [0] + [d.number(0, n - 1) for _ in range(total - 1)]
    return [[cpu for cpu, home in enumerate(homes) if home == node] for node in range(n)]


def _tlb(d: Draw) -> dict[str, int]:
    ways = d.one(1, 2, 4, 6)
    return {"entries": ways << d.number(0, 5), "ways": ways}


def _swap(d: Draw, pages: int, short: bool) -> list[dict[str, Any]]:
    areas: list[dict[str, Any]] = []
    for _ in range(d.number(1, 3) if short else d.number(0, 1)):
        kind = d.one("hdd", "hdd", "sata-ssd", "nvme", "nvme", "zram")
        area: dict[str, Any] = {"device": kind, "size": f"{max(16, pages * d.number(3, 8) // 8) * 4096}B"}
        if d.chance(0.6):
            area["priority"] = d.number(0, 2)
        if kind == "hdd":
            area["seek"] = f"{d.number(50, 4000)}us"
        elif kind != "zram":
            area["latency"] = f"{d.number(5, 150)}us"
            area["channels"] = d.number(1, 8)
        areas.append(area)
    if short and sum(int(area["size"][:-1]) for area in areas) < 2 * pages * 4096:
        areas.append({"device": "nvme", "size": f"{2 * pages * 4096}B", "latency": "20us"})
    return areas


def _disks(d: Draw, areas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Elevators for the areas' drives; sometimes one drive for the first two areas, which is given back."""
    for area in areas:
        if area["device"] == "hdd":
            area["elevator"] = d.one("linus", "linus", "noop", "none")
        elif area["device"] != "zram" and d.chance(0.4):
            area["elevator"] = d.one("linus", "noop")
    if len(areas) < 2 or not d.chance(0.4):
        return []
    shared = areas[:2]
    sizes = sum(int(area["size"][:-1]) for area in shared)
    drive = {key: value for key, value in shared[0].items() if key not in ("size", "priority")}
    for area in shared:
        for key in ("seek", "latency", "channels", "elevator"):
            area.pop(key, None)
        area |= {"device": "partition", "disk": "shared"}
    return [{**drive, "name": "shared", "size": f"{sizes}B"}]


def _kernel(d: Draw) -> dict[str, Any]:
    switches = {
        name: False
        for name in ("kswapd", "clusters", "readahead", "zero_page", "local_pages", "tlb", "lazy_tlb")
        if d.chance(0.1)
    }
    sysctl: dict[str, Any] = {"vm.page-cluster": d.number(0, 4)} if d.chance(0.3) else {}
    profile = d.one("linux-2.4.22", "linux-2.4.37", "linux-2.4.37")
    if d.chance(0.2) and profile == "linux-2.4.37":
        sysctl["vm.vm_anon_lru"] = 1
    return {
        "profile": profile,
        "numa_fallback": d.one("strict24", "nearest"),
        "time_slice": f"{d.spread(2000, 300_000)}ns",
        "balance": {"within_node": d.chance(0.4), "across_nodes": d.chance(0.4)},
        "switches": switches,
        "sysctl": sysctl,
    }


def _of_2_4_0(d: Draw, kernel: dict[str, Any]) -> dict[str, Any]:
    """The same table for the oldest kernel, with its own knobs only."""
    switches = {name: on for name, on in kernel["switches"].items() if name != "local_pages"}
    switches |= {name: False for name in ("page_aging", "kreclaimd", "launder") if d.chance(0.2)}
    sysctl = {name: value for name, value in kernel["sysctl"].items() if name != "vm.vm_anon_lru"}
    return {**kernel, "profile": "linux-2.4.0", "switches": switches, "sysctl": sysctl}


def _of_2_2(d: Draw, kernel: dict[str, Any]) -> dict[str, Any]:
    """The same table for the kernel before 2.4, with its own knobs only."""
    foreign = ("local_pages", "page_aging", "kreclaimd", "launder")
    switches = {name: on for name, on in kernel["switches"].items() if name not in foreign}
    switches |= {name: False for name in ("hysteresis", "second_chance") if d.chance(0.2)}
    sysctl = {name: value for name, value in kernel["sysctl"].items() if name != "vm.vm_anon_lru"}
    rest = {name: value for name, value in kernel.items() if name != "numa_fallback"}
    return {**rest, "profile": "linux-2.2", "switches": switches, "sysctl": sysctl}


def _workloads(d: Draw, cpus: list[int], pages: int, short: bool, accesses: int) -> list[dict[str, Any]]:
    tasks = d.number(1, 8)
    wanted = int(pages * (d.rng.uniform(1.3, 2.2) if short else d.rng.uniform(0.1, 0.5)))
    workloads = []
    while tasks:
        count = d.number(1, min(2, tasks))
        tasks -= count
        share = max(4, wanted // (len(workloads) + 1 + tasks) // count) if tasks else max(4, wanted // count)
        wanted = max(0, wanted - share * count)
        workload: dict[str, Any] = {
            "name": f"task{len(workloads)}",
            "count": count,
            "start": f"{d.one(0, 0, 0, d.spread(1, 10**6))}ns",
            "nice": d.one(0, 0, 5, -10, 19),
            "program": _program(d, share, max(share * 3 // 2, accesses // (count * (len(workloads) + 1 + tasks)))),
        }
        if d.chance(0.5):
            chosen = sorted({d.one(*cpus) for _ in range(d.number(1, len(cpus)))})
            workload["cpus"] = ",".join(map(str, chosen))
        workloads.append(workload)
    return workloads


def _program(d: Draw, pages: int, accesses: int) -> list[dict[str, Any]]:
    """Fill most of a region, use it by one or two patterns; between these, sleep, compute, unmap."""
    program: list[dict[str, Any]] = [
        {"op": "mmap", "as": "heap", "size": f"{pages * 4096}B"},
        {
            "op": "touch",
            "on": "heap",
            "pattern": {"kind": "sequential"},
            "accesses": pages,
            "write": d.one(1.0, 1.0, 1.0, 0.7),
            "compute": f"{d.one(0, 200)}ns",
        },
    ]
    left = accesses - pages
    while left > 0:
        kind = d.number(0, 6)
        if kind == 0:
            program.append({"op": "sleep", "for": f"{d.spread(100, 3_000_000)}ns"})
        elif kind == 1:
            program.append({"op": "compute", "for": f"{d.spread(100, 300_000)}ns"})
        elif kind == 2 and pages > 16:
            part = d.number(1, pages // 4)
            program.append(
                {
                    "op": "munmap",
                    "on": "heap",
                    "offset": f"{d.number(0, pages - part - 1) * 4096}B",
                    "length": f"{part * 4096}B",
                }
            )
            if d.chance(0.95):
                # First fit finds the hole again; without this the task may hit it and be killed.
                program.append({"op": "mmap", "as": f"hole{len(program)}", "size": f"{part * 4096}B"})
        else:
            n = min(left, d.number(accesses // 8 + 1, accesses // 2 + 1))
            left -= n
            program.append(
                {
                    "op": "touch",
                    "on": "heap",
                    "pattern": random_pattern(d),
                    "accesses": n,
                    "write": d.one(0.0, 0.3, 1.0),
                    "lines": d.one(1, 1, 4, 64),
                    "compute": f"{d.one(0, 0, 30, 1500)}ns",
                }
            )
    return program
