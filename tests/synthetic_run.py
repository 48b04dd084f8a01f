"""A made-up run, so that what reports on runs can be tested without running anything."""

import numpy as np

from numa_sim.observe.result import InputFile, RunResult, SwapArea, TaskRow
from numa_sim.observe.sampler import TimeSeries
from numa_sim.state.constants import NR_ZONES, SI_KERNEL, SIGKILL, TASK_DEAD, TASK_RUNNING, ZONE_NORMAL
from numa_sim.state.counters import (
    PART_COMPUTE,
    PART_LOCAL,
    PART_MINOR_FAULT,
    PART_QUEUEING,
    PART_REMOTE,
    PART_SWAP_WAIT,
    PGFAULT,
    PGMAJFAULT,
    PGSCAN_DIRECT,
    PGSCAN_KSWAPD,
    PGSTEAL_DIRECT,
    PGSTEAL_KSWAPD,
    PSWPIN,
    PSWPOUT,
)
from numa_sim.state.event_codes import EV_OOM_KILL, EV_RMQUEUE
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

FRAMES = 4096


def small_kernel(nodes: int = 2, cpus: int = 4, areas: int = 2, events: int = 1) -> Kernel:
    """A machine of `nodes` * 4096 frames, all in zone NORMAL, with swap areas of 2048 slots."""
    k = new_kernel(
        Sizes(
            nodes=nodes,
            cpus=cpus,
            frames=nodes * FRAMES,
            tasks=16,
            swap_slots=max(areas * 2048, 1),
            events=events,
            disk_blocks=8,
        )
    )
    for node in range(nodes):
        zone = k.zones[node * NR_ZONES + ZONE_NORMAL]
        zone.node, zone.index = node, ZONE_NORMAL
        zone.start_pfn, zone.size, zone.realsize, zone.free_pages = node * FRAMES, FRAMES, FRAMES, FRAMES - 64
        k.nodes[node].reserved_pages = 64
        k.nodes[node].node_start_pfn, k.nodes[node].node_size = node * FRAMES, FRAMES
    for cpu in range(cpus):
        k.cpus[cpu].node = cpu * nodes // cpus
    for area in range(areas):
        info = k.swap_info[area]
        info.flags, info.prio, info.pages, info.max, info.map_start = 3, -1 - area, 2047, 2048, area * 2048
    k.vm[0].nr_swapfiles, k.vm[0].total_swap_pages = areas, areas * 2047
    return k


def play(k: Kernel, series: TimeSeries, samples: int = 60, seed: int = 1, users: int = 2) -> int:
    """Change the counters as a run under memory pressure would, sampling; return the end, ns."""
    rng = np.random.Generator(np.random.PCG64DXSM(seed))
    n_nodes, step_ns = int(k.vm[0].nr_nodes), 50_000_000
    series.sample(0)
    for i in range(1, samples + 1):
        k.vm[0].now_ns = i * step_ns
        pressure = max(0.0, i / samples - 0.4)
        for node in range(n_nodes):
            zone = k.zones[node * NR_ZONES + ZONE_NORMAL]
            zone.free_pages = max(
                30 + int(rng.integers(20)), FRAMES - 64 - int(FRAMES * 2.2 * i / samples / (1 + node))
            )
            k.vmstat[node, PGFAULT] += int(rng.integers(500, 900) * (1.3 - i / samples))
            if pressure:
                scan = int(3000 * pressure + rng.integers(50))
                for counter, n in (
                    (PGMAJFAULT, scan // 6), (PGFAULT, scan // 6), (PSWPIN, scan // 5), (PSWPOUT, scan // 4),
                    (PGSCAN_KSWAPD, scan), (PGSTEAL_KSWAPD, scan // 3), (PGSCAN_DIRECT, scan // 9),
                    (PGSTEAL_DIRECT, scan // 20),
                ):  # fmt: skip
                    k.vmstat[node, counter] += n
            for memory in range(n_nodes):
                accesses = int(rng.integers(4000, 5000)) // (1 + 2 * abs(node - memory))
                pair = k.traffic[node, memory]
                pair.accesses += accesses
                pair.lines += accesses * 2
                pair.latency_ns += accesses * (80 if node == memory else 138)
                pair.queue_ns += int(accesses * 60 * i / samples * rng.random())
        k.cpus.busy_ns += step_ns * 3 // 4
        for area in range(int(k.vm[0].nr_swapfiles)):
            info = k.swap_info[area]
            info.inuse_pages = min(2047, max(0, int(4600 * pressure) - 2047 * area))
            info.pages_written += int(info.inuse_pages) // 20
        log_event(k, EV_RMQUEUE, i, i + 7)
        series.sample(i * step_ns)
    end_ns = max(samples, 1) * step_ns
    shares = {PART_LOCAL: 31, PART_REMOTE: 22, PART_QUEUEING: 9, PART_MINOR_FAULT: 6, PART_SWAP_WAIT: 27}
    for task in range(2, 2 + users):
        record = k.tasks[task]
        record.pid, record.state, record.start_ns, record.end_ns = 100 + task, TASK_DEAD, 1000 * task, end_ns - task
        record.accesses_done, record.min_flt, record.maj_flt = 10**6, 1000, 300
        run = end_ns - task - 1000 * task
        for part, share in shares.items():
            k.time_parts[task, part] = run * share // (100 + 3 * task)
        k.time_parts[task, PART_COMPUTE] = run - int(k.time_parts[task].sum())
    return end_ns


def small_run(
    samples: int = 60,
    seed: int = 1,
    users: int = 2,
    nodes: int = 2,
    areas: int = 2,
    events: int = 1,
    trace: bool = False,
) -> RunResult:
    """The result of a made-up run of `users` tasks, the last of which is still running if there are several."""
    k = small_kernel(nodes=nodes, cpus=2 * nodes, areas=areas, events=events)
    k.vm[0].record_events = int(trace)
    series = TimeSeries(k)
    end_ns = play(k, series, samples, seed, users)
    if users > 1:
        last = k.tasks[users + 1]
        last.state = TASK_RUNNING
        k.time_parts[users + 1, PART_COMPUTE] += end_ns - int(last.end_ns)
        last.end_ns = 0
    return RunResult(
        config={"machine": {"preset": "made-up-2s"}, "run": {"seed": seed, "until": "3s"}},
        config_sha256="c0" * 32,
        seed=seed,
        kernel=k,
        tasks=tuple(TaskRow(f"db-{i}", 2 + i, "generator") for i in range(users)),
        timeseries=series,
        end_ns=end_ns,
        exit_state="until" if users > 1 else "ok",
        machine_name="made-up-2s",
        node_names=tuple(f"node{i}" for i in range(nodes)),
        swap_areas=tuple(SwapArea(*pair) for pair in (("swap-nvme", "nvme"), ("swap-hdd", "hdd-7200"))[:areas]),
        warnings=("the trace was cut at 10 s",),
        inputs=(InputFile("sort.trace", 12345, "ab" * 32),),
        wall_seconds=1.25,
    )


def kill(result: RunResult, task: int) -> None:
    """Let `task` have died of the OOM killer."""
    result.kernel.tasks[task].exit_code, result.kernel.tasks[task].si_code = SIGKILL, SI_KERNEL
    log_event(result.kernel, EV_OOM_KILL, task, 0)
