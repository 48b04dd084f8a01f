"""Configurations that between them use every field there is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numa_sim.config.model import Config
from numa_sim.config.quantities import Section

TOUCH = {"op": "touch", "on": "heap", "accesses": 1000, "write": 0.3, "lines": 4, "compute": "2ns"}
PATTERNS: list[dict[str, Any]] = [
    {"kind": "sequential"},
    {"kind": "strided", "stride": 3},
    {"kind": "uniform"},
    {"kind": "zipf", "s": 0.99, "scramble": False},
    {"kind": "pointer_chase"},
    {"kind": "phases", "phases": [{"pattern": {"kind": "uniform"}, "accesses": 10}]},
    {"kind": "mix", "parts": [{"weight": 2.5, "pattern": {"kind": "zipf", "s": 1.0, "scramble": True}}]},
]

SATA = {"device": "sata-ssd", "latency": "140us", "bandwidth": "550MB/s", "channels": 8, "elevator": "linus"}
NVME = {"device": "nvme", "latency": "0.1ms", "bandwidth": "6GB/s", "channels": 32, "elevator": "none"}

WEIGHTED = {"mode": "weighted_interleave", "nodes": "0-1", "weights": [3, 1]}

INLINE: dict[str, Any] = {
    "machine": {
        "nodes": [{"memory": "1GiB", "cpus": "0-1"}, {"memory": "512MiB", "cpus": "2-3"}],
        "distances": [[10, 21], [21, 10]],
        "latency_ns": [[90, 140], [140, 90]],
        "bandwidth": ["50GB/s", "40GB/s"],
        "links": [{"a": 0, "b": 1, "bandwidth": "20GB/s", "name": "qpi"}],
        "arch": "x86-64",
        "mmu": "x86-64-la57",
        "global_pages": True,
        "write_protect": True,
        "segments": False,
        "cache_hit_ratio": 0.25,
        "tlb": {"entries": 64, "ways": 4},
        "memory": {"model": "queue", "window": "10us", "bandwidth": "45GB/s"},
        "swap": [
            {
                "device": "hdd",
                "size": "1GiB",
                "priority": 1,
                "name": "a",
                "seek": "8ms",
                "bandwidth": "150MB/s",
                "elevator": "noop",
            },
            {"size": "1GiB", "priority": 2, "name": "b", **SATA},
            {"size": "1GiB", "priority": 3, "name": "c", **NVME},
            {"device": "zram", "size": "1GiB", "priority": 4, "name": "d", "latency": "1.7us"},
            {"device": "partition", "size": "1GiB", "priority": 5, "name": "e", "disk": "sda"},
            {"device": "file", "file": "swapfile", "priority": 6, "name": "f"},
        ],
        "disk": [
            {"name": "sda", "size": "4GiB", "device": "hdd", "seek": "8ms", "bandwidth": "150MB/s", "elevator": "noop"},
            {"name": "sdb", "size": "4GiB", **SATA},
            {"name": "nvme0n1", "size": "4GiB", **NVME},
            {"name": "zram0", "size": "4GiB", "device": "zram", "latency": "1.7us"},
        ],
        "file": [
            {
                "name": "data",
                "size": "1GiB",
                "disk": "sda",
                "room": "1MiB",
                "fragments": 3,
                "holes": [{"offset": "8KiB", "length": "8KiB"}],
            },
            {"name": "swapfile", "size": "1MiB", "disk": "sda"},
        ],
    },
    "workload": [
        {
            "name": "program",
            "count": 2,
            "cpus": "0-2",
            "nice": 5,
            "root": True,
            "start": "1ms",
            "policy": WEIGHTED,
            "limits": {"stack": "1MiB", "data": "1GiB", "as": "2GiB", "memlock": "64KiB", "core": "unlimited"},
            "program": [
                {"op": "mmap", "as": "heap", "size": "64MiB", "at": "0x40000000"},
                *({**TOUCH, "pattern": pattern, "offset": "4KiB", "length": "1MiB"} for pattern in PATTERNS),
                {"op": "sleep", "for": "1ms"},
                {"op": "compute", "for": "1us", "fpu": True},
                {"op": "repeat", "times": 3, "program": [{"op": "compute", "for": "1us"}]},
                {"op": "munmap", "on": "heap", "offset": "0B", "length": "64MiB"},
                {"op": "open", "file": "data", "as": "fd"},
                {"op": "read", "on": "fd", "size": "8KiB", "offset": "4KiB", "compute": "1us"},
                {"op": "write", "on": "fd", "size": "8KiB", "pattern": PATTERNS[3], "count": 10},
                {"op": "mmap", "as": "map", "file": "fd", "shared": True, "offset": "4KiB"},
                {"op": "madvise", "on": "map", "advice": "random", "offset": "0B", "length": "4KiB"},
                {"op": "msync", "on": "map", "offset": "0B", "length": "4KiB"},
                {"op": "fsync", "on": "fd"},
                {"op": "truncate", "on": "fd", "size": "5B"},
                {"op": "write", "on": "fd", "size": "8KiB", "offset": "4KiB", "compute": "1us"},
                {"op": "read", "on": "fd", "size": "8KiB", "pattern": PATTERNS[0], "count": 10},
                {"op": "close", "on": "fd"},
                {"op": "swapoff", "area": "a"},
                {"op": "fork", "name": "other", "cpus": "1", "program": [{"op": "exit", "status": 3}]},
                {"op": "vfork", "name": "other", "cpus": "0", "program": [{"op": "exit"}]},
                {"op": "clone", "name": "thread", "cpus": "0-1", "program": [{"op": "compute", "for": "1us"}]},
                {"op": "wait", "all": True},
                {"op": "swapon", "area": "a", "priority": 3},
                {"op": "signal", "signal": "SIGUSR1", "action": "ignore"},
                {"op": "signal", "signal": "SIGUSR2", "program": [{"op": "compute", "for": "1us"}]},
                {"op": "kill", "task": "trace", "signal": "SIGUSR1"},
                {"op": "prctl", "dumpable": True},
                {"op": "access", "at": "0xbffff000", "write": True, "esp": "0xbffff000", "pages": 3},
                {"op": "nice", "by": 5},
                {"op": "sched_yield"},
                {"op": "receive", "packets": 5, "interval": "20us", "hold": "2ms"},
                {"op": "setrlimit", "resource": "core", "limit": "unlimited"},
                {
                    "op": "mmap",
                    "as": "stack",
                    "size": "64KiB",
                    "at": "0x50000000",
                    "prot": "rw-",
                    "fixed": False,
                    "growsdown": True,
                    "locked": False,
                    "reserve": False,
                },
                {"op": "brk", "grow": "1MiB"},
                {"op": "brk", "shrink": "4KiB"},
                {"op": "mprotect", "on": "stack", "prot": "r--", "offset": "0B", "length": "4KiB"},
                {"op": "mlock", "on": "stack", "offset": "0B", "length": "4KiB"},
                {"op": "munlock", "on": "stack", "offset": "0B", "length": "4KiB"},
                {"op": "mremap", "on": "stack", "size": "1MiB", "may_move": True},
                {"op": "set_mempolicy", "mode": "bind", "nodes": "0"},
                {"op": "set_mempolicy", **WEIGHTED},
                {"op": "mbind", "on": "stack", **WEIGHTED, "offset": "0B", "length": "4KiB"},
                {"op": "kmalloc", "as": "k", "size": "100B", "dma": True, "atomic": True},
                {"op": "kfree", "on": "k"},
                {"op": "vmalloc", "as": "v", "size": "8KiB"},
                {"op": "kernel_touch", "on": "v", "write": 0.5, "overrun": 1},
                {"op": "vfree", "on": "v"},
                {"op": "churn", "of": "vmalloc", "requests": 5, "smallest": "4KiB", "largest": "1MiB", "live": 2},
                {"op": "look_up", "names": 5, "first": 1},
                {"op": "open", "file": "data", "as": "binary", "access": "read"},
                {
                    "op": "exec",
                    "program": [{"op": "exit"}],
                    "file": "binary",
                    "text": "8KiB",
                    "data": "4KiB",
                    "bss": "1MiB",
                    "arguments": "1KiB",
                },
            ],
        },
        {
            "name": "trace",
            "trace": {"file": "a.npz", "format": "numa_sim", "cache_hit": "1ns", "limit": 10, "instructions": False},
        },
        {
            "name": "recorded",
            "trace": {"file": "a.npz", "format": "lackey+strace", "strace": "machine.txt", "mappings": "recorded"},
        },
        {"name": "seen", "trace": {"file": "a.npz", "format": "damon", "target": 3, "write": 0.5}},
    ],
    "run": {
        "until": "30s",
        "seed": 7,
        "sample": "10ms",
        "snapshot": "1ms",
        "check": "cheap",
        "record_events": 100,
        "fault_latency": True,
        "observe": ["buddy", "access_map"],
        "access_map": {"sample": "100us", "aggregate": "2ms", "region": "32KiB"},
        "timeline": {"from": "1ms", "until": "1s", "most": 1000},
        "budget": {"events": 10**9, "wall": "1h"},
        "keep_inputs": "64KiB",
    },
}
for _area in INLINE["machine"]["swap"]:
    _area |= {"on": True, "header": 2, "bad": [3]}
INLINE["machine"]["swap"] += [
    {**{key: value for key, value in area.items() if key not in ("header", "bad", "name")}, "image": "header.img"}
    for area in INLINE["machine"]["swap"]
]
for _table in ("kernel", "costs"):
    INLINE[_table] = Config.model_validate({"machine": {"preset": "any"}}).resolved()[_table]
INLINE["kernel"]["sysctl"] |= {"vm.page-cluster": 3, "vm.min-readahead": 3, "vm.max-readahead": 31}
INLINE["kernel"]["bdflush"] = {
    "nfract": 30,
    "ndirty": 500,
    "interval": "5s",
    "age_buffer": "30s",
    "nfract_sync": 60,
    "nfract_stop": 20,
}

PRESET: dict[str, Any] = {
    "machine": {"preset": "xeon-platinum-8163-2s", "memory_per_node": "64MiB", "cpus_per_node": 2},
    "workload": [{"name": "a", "program": [{"op": "exit"}]}],
}
FROM_FILE: dict[str, Any] = {**PRESET, "machine": {"from": "numactl:machine.txt"}}
OLD_KERNEL: dict[str, Any] = {
    **PRESET,
    "kernel": {"profile": "linux-2.4.0", "switches": {"page_aging": True, "kreclaimd": True, "launder": True}},
}
OLDEST_KERNEL: dict[str, Any] = {
    **PRESET,
    "kernel": {"profile": "linux-2.2", "switches": {"hysteresis": True, "second_chance": True}},
}
SWEEP: dict[str, Any] = {
    **PRESET,
    "sweep": {
        "replicas": 2,
        "grid": {"machine.memory_per_node": ["64MiB", "128MiB"]},
        "zip": {"machine.cpus_per_node": [1, 2], "workload.0.count": [1, 2]},
        "sample": {
            "method": "halton",
            "points": 3,
            "ranges": {"run.until": {"from": "1s", "to": "8s", "scale": "log"}},
        },
        "cases": [
            {
                "label": "everything",
                "factor": "what",
                "machine": {"preset": "xeon-e5-2680-2s"},
                "kernel": {"numa_fallback": "nearest"},
                "costs": {"ipi": "5ns"},
                "run": {"sample": "5ms"},
                "workload": [{"name": "b", "program": [{"op": "exit"}]}],
                "set": {"machine.cache_hit_ratio": 0.5},
            }
        ],
        "groups": [
            {
                "grid": {"machine.tlb.entries": [64, 128]},
                "zip": {"run.sample": ["5ms", "7ms"]},
                "sample": {"points": 2, "ranges": {"costs.tlb_walk_level": {"from": "1ns", "to": "9ns"}}},
                "cases": [{"label": "a", "costs": {"ipi": "5ns"}}],
            }
        ],
        "limits": {"wall": "1min", "memory": "1GiB"},
    },
}
PRECISE: dict[str, Any] = {
    "format_version": 1,
    **PRESET,
    "sweep": {"replicas": {"min": 2, "max": 4, "metric": "pgfault", "within": "5%", "confidence": 0.9}},
}
DOCUMENTS = {
    "inline": INLINE,
    "preset": PRESET,
    "from": FROM_FILE,
    "old kernel": OLD_KERNEL,
    "oldest kernel": OLDEST_KERNEL,
    "sweep": SWEEP,
    "precise": PRECISE,
}

MACHINE_TEXT = """available: 1 nodes (0)
node 0 cpus: 0 1
node 0 size: 1024 MB
node 0 free: 900 MB
node distances:
node   0
  0:  10
"""


def write(folder: Path, document: Any, name: str = "config.json") -> Path:
    """Write `document` and the files the documents above name into `folder`."""
    (folder / "a.npz").write_bytes(b"")
    (folder / "machine.txt").write_text(MACHINE_TEXT)
    file = folder / name
    file.write_text(json.dumps(document))
    return file


def fields(
    section: Section, document: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[str, str, tuple[str | int, ...]]]:
    """Section, field and path of every value `document` gives."""
    for name, field in type(section).model_fields.items():
        key = field.alias or name
        if key not in document:
            continue
        yield type(section).__name__, name, (*path, key)
        value, raw = getattr(section, name), document[key]
        if isinstance(value, Section) and isinstance(raw, dict):
            yield from fields(value, raw, (*path, key))
        elif isinstance(value, dict):
            for inner, item in value.items():
                if isinstance(item, Section):
                    yield from fields(item, raw[inner], (*path, key, inner))
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, Section):
                    yield from fields(item, raw[index], (*path, key, index))


def changed(document: Any, path: tuple[str | int, ...], value: Any = None, *, drop: bool = False) -> Any:
    """Copy of `document` with another value at `path`, or without it."""
    copied = copy.deepcopy(document)
    place = copied
    for part in path[:-1]:
        place = place[part]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copied
