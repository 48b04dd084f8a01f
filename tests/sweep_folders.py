"""Small sweep folders made here and now, as the sweep runner makes them."""

import hashlib
import itertools
from pathlib import Path

from numa_sim.config.model import Config
from numa_sim.observe.result import MODEL_VERSION
from numa_sim.processes.machine import Machine
from numa_sim.results.canonical import canonical_json, seal
from numa_sim.results.run_folder import write_run

BASE = {
    "machine": {
        "preset": "xeon-e5-2680-2s",
        "memory_per_node": "8MiB",
        "cpus_per_node": 1,
        "swap": [{"device": "nvme", "size": "64MiB"}],
    },
    "workload": [
        {
            "name": "hog",
            "cpus": "0",
            "program": [
                {"op": "mmap", "as": "heap", "size": "12MiB"},
                {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 3072, "write": 1.0},
                {"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "accesses": 1500, "write": 0.3},
            ],
        }
    ],
    "run": {"sample": "1ms"},
}
"""A run of some 20 ms that swaps."""


def with_value(config, path, value):
    """A copy of `config` with `value` at `path`; numbers are indexes of lists."""
    key, _, rest = path.partition(".")
    if isinstance(config, list):
        return [with_value(v, rest, value) if rest and str(i) == key else v for i, v in enumerate(config)]
    return {**config, key: with_value(config.get(key, {}), rest, value) if rest else value}


def planned_runs(points, replicas, base=BASE):
    """Runs of points, each a dict of factors; replicas of one number share their seed."""
    runs = []
    for point, factors in enumerate(points):
        for replica in range(replicas):
            config = with_value(base, "run.seed", 100 + replica)
            for path, value in factors.items():
                config = with_value(config, path, value)
            run = hashlib.sha256(canonical_json([config, MODEL_VERSION])).hexdigest()[:16]
            runs.append(
                ({"run": run, "point": point, "replica": replica, "seed": 100 + replica, "factors": factors}, config)
            )
    return runs


def write_design(folder, runs, factors=None, **changes):
    """``sweep.json`` of `runs`, their factors in the order of their first appearance."""
    if factors is None:
        factors = list(dict.fromkeys(itertools.chain(*(run["factors"] for run in runs))))
    document = {
        "format_version": 1,
        "model_version": MODEL_VERSION,
        "config": BASE,
        "factors": factors
        if factors is not None
        else list(dict.fromkeys(itertools.chain(*(r["factors"] for r in runs)))),
        "runs": runs,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_bytes(canonical_json(seal(document)))


def grid(axes):
    """Points of all combinations."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def make_sweep(folder, points, replicas=3, base=BASE, leave_out=()):
    """Write the design and make its runs, but those at the positions `leave_out`."""
    folder = Path(folder)
    planned = planned_runs(points, replicas, base)
    write_design(folder, [run for run, _ in planned])
    for position, (run, config) in enumerate(planned):
        target = folder / "runs" / run["run"]
        if position not in leave_out and not target.exists():
            write_run(Machine(Config.of(**config)).run_to_end(), target, picture=False)
    return folder


def write_failure(folder, run, error, message="", version=1):
    """Record in the sweep `folder` that `run` (of its ``sweep.json``) failed once."""
    attempt = {"stage": "run", "error": error, "message": message, "traceback": "", "log": ""}
    told = {key: run[key] for key in ("run", "seed", "factors")}
    file = Path(folder) / "failures" / f"{run['run']}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(canonical_json({"format_version": version, **told, "quarantined": False, "attempts": [attempt]}))
    return file
