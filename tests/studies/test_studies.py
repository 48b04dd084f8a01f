"""What each shipped study finds, found again by a smaller sweep: the decisive points, few replicas, fewer accesses."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from numa_sim import Sweep, load, open_sweep, run_sweep
from numa_sim.results.report.of_sweep import page_of_sweep
from numa_sim.units import parse_bytes

STUDIES = Path(__file__).parents[2] / "configs" / "studies"
NAMES = sorted(study.stem for study in STUDIES.glob("*.toml"))

Study = Callable[..., Sweep]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Make the sweep of a study with settings as for ``--set``."""

    def make(name: str, *settings: str) -> Sweep:
        folder = tmp_path / name
        run_sweep(load(STUDIES / f"{name}.toml", settings), folder, jobs=0)
        return open_sweep(folder)

    return make


def only(name: str, *labels: str) -> str:
    """Setting that keeps the cases with these labels."""
    cases = tomllib.loads((STUDIES / f"{name}.toml").read_text(encoding="utf-8"))["sweep"]["cases"]
    kept = [case for case in cases if case["label"] in labels]
    assert len(kept) == len(labels)
    return f"sweep.cases={inline(kept)}"


def inline(value: object) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}={inline(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(inline, value)) + "]"
    return json.dumps(value)


def grid(**axes: list[object]) -> str:
    """Setting of a grid; ``__`` stands for a dot."""
    return f"sweep.grid={inline({name.replace('__', '.'): values for name, values in axes.items()})}"


def figures(sweep: Sweep, metric: str, **where: object) -> list[float]:
    """Means of the points chosen, in the order of the design."""
    return [answer.estimate for _, answer in sweep.intervals(metric, where=where)]


def test_there_are_twelve_studies_and_all_are_listed() -> None:
    page = (STUDIES / "README.md").read_text(encoding="utf-8")
    assert len(NAMES) >= 12
    for name in NAMES:
        assert f"| [`{name}`]({name}.toml) |" in page, name


@pytest.mark.parametrize("name", NAMES)
def test_every_study_says_what_it_asks_how_to_run_it_and_what_it_does_not_show(name: str) -> None:
    text = (STUDIES / f"{name}.toml").read_text(encoding="utf-8")
    head = text.split("[machine]")[0]
    assert head.splitlines()[0] == "#:schema ../numa-sim.schema.json"
    for said in (
        "# Question: ",
        "# What to see: ",
        f"numa-sim sweep configs/studies/{name}.toml",
        "# It does not show: ",
    ):
        assert said in head, said
    assert tomllib.loads(text)["sweep"]
    assert load(STUDIES / f"{name}.toml").sweep is not None


def test_a_heap_spills_where_its_node_ends_and_costs_latency_only(study: Study) -> None:
    sizes = 'sweep.zip={"workload.0.program.0.size"=["12MiB","24MiB"],"workload.0.program.1.accesses"=[3072,6144]}'
    sweep = study("fill-and-spill", sizes, "workload.0.program.2.accesses=20_000")
    assert figures(sweep, "accesses_remote")[0] == 0
    assert sweep.compare("mean_latency_ns", "workload.0.program.0.size", "12MiB", "24MiB").better == "12MiB"
    assert figures(sweep, "pgmajfault") == [0, 0]
    compared = next(section for section in page_of_sweep(sweep, ["end_ns"]).sections if section.title == "Comparisons")
    assert len(compared.blocks) == 2  # what is compared, and one table: sizes and writes are zipped


POLICIES = "interleave-local-bind"
_READ_LESS = [*(f"workload.0.program.{thread}.program.2.accesses=2000" for thread in (1, 2, 3)), "sweep.replicas=2"]


def test_local_interleave_and_bind_are_best_for_different_programs(study: Study) -> None:
    cases = only(POLICIES, "local", "interleave", "bind", "own quarter", "all of it")
    large = grid(machine__memory_per_node=["64MiB"])
    sweep = study(POLICIES, cases, large, *_READ_LESS, "workload.0.program.6.accesses=2000")
    for other in ("interleave", "bind"):
        own = sweep.compare("mean_latency_ns", "policy", "local", other, where={"read": "own quarter"})
        assert own.better == "local", other
    queues = sweep.compare("mean_queue_ns", "policy", "interleave", "bind", where={"read": "all of it"})
    assert queues.better == "interleave"
    assert figures(sweep, "interleave_hit", policy="interleave", read="all of it")[0] > 4096


def test_on_a_full_node_preferred_spills_and_bind_swaps(study: Study) -> None:
    cases = only(POLICIES, "preferred", "bind", "own quarter")
    small = grid(machine__memory_per_node=["12MiB"])
    sweep = study(POLICIES, cases, small, *_READ_LESS, "workload.0.program.6.accesses=500")
    assert sweep.compare("end_ns", "policy", "preferred", "bind").better == "preferred"
    for policy, spilled, swapped in (("preferred", True, False), ("bind", False, True)):
        assert (figures(sweep, "numa_miss", policy=policy)[0] > 0) == spilled, policy
        assert (figures(sweep, "pswpout", policy=policy)[0] > 0) == swapped, policy


def test_striping_over_two_devices_is_faster_than_using_them_in_turn(study: Study) -> None:
    sweep = study("swap-striping", only("swap-striping", "2 SSDs in turn", "2 SSDs striped"))
    assert sweep.compare("end_ns", "machine", "2 SSDs in turn", "2 SSDs striped").better == "2 SSDs striped"


def test_strict24_swaps_while_the_neighbour_is_empty(study: Study) -> None:
    size = 'sweep.zip={"workload.0.program.0.size"=["20MiB"],"workload.0.program.1.accesses"=[5120]}'
    sweep = study("one-full-one-empty", size, "workload.0.program.2.accesses=4000")
    assert sweep.compare("end_ns", "kernel.numa_fallback", "strict24", "nearest").better == "nearest"
    swapped = dict(sweep.intervals("pswpout", by=["kernel.numa_fallback"]))
    assert swapped[("nearest",)].estimate == 0
    assert swapped[("strict24",)].low > 0


def test_one_program_too_many_makes_all_crawl(study: Study) -> None:
    sweep = study("thrashing-onset", grid(workload__0__count=[3, 4, 7]), "sweep.replicas=3")
    fits, full, over = figures(sweep, "end_ns")
    assert full < 1.1 * fits
    assert over > 3 * full
    assert sweep.compare("end_ns", "workload.0.count", 4, 7).better == "4"
    assert figures(sweep, "pgmajfault")[:2] == [0, 0]


def test_higher_marks_spare_stalls_and_cost_faults(study: Study) -> None:
    marks, low, high = "kernel.memfrac", [256, 256, 256], [32, 32, 32]
    sweep = study("watermarks", grid(kernel__memfrac=[low, high], kernel__switches__kswapd=[True, False]))
    awake = {"kernel.switches.kswapd": True}
    assert sweep.compare("allocstall", marks, low, high, where=awake).better == str(high)
    assert sweep.compare("pgmajfault", marks, low, high, where=awake).better == str(low)
    assert sweep.compare("allocstall", "kernel.switches.kswapd", True, False).better == "True"


def test_copying_at_fork_swaps_what_copy_on_write_never_makes(study: Study) -> None:
    children, writes = "workload.0.program.2.times", "workload.0.program.2.program.0.program.0.accesses"
    switch = "kernel.switches.copy_on_write"
    sweep = study("fork-storm", f"sweep.grid={inline({children: [16], writes: [16], switch: [True, False]})}")
    assert sweep.compare("end_ns", switch, True, False).better == "True"
    assert figures(sweep, "fork_copies") == [0, 16 * 1024]
    assert [written > 0 for written in figures(sweep, "pswpout")] == [False, True]


def test_a_small_mapped_ratio_swaps_the_heap_for_a_file(study: Study) -> None:
    ratio, lists = "kernel.sysctl.vm.vm_mapped_ratio", "kernel.sysctl.vm.vm_anon_lru"
    heap = 'sweep.zip={"workload.1.program.0.size"=["13MiB"],"workload.1.program.1.accesses"=[3328]}'
    sweep = study("mixed-pressure", f"sweep.grid={inline({ratio: [1, 100], lists: [0, 1]})}", heap)
    assert sweep.compare("pswpout", ratio, 1, 100).better == "100"
    assert sweep.compare("pswpout", lists, 0, 1).better == "0"


def test_with_little_memory_2_4_37_swaps_less_than_2_4_0_and_with_much_all_are_alike(study: Study) -> None:
    kernels = ["linux-2.2", "linux-2.4.0", "linux-2.4.37"]
    sweep = study("four-kernels", grid(machine__memory_per_node=["12MiB", "40MiB"], kernel__profile=kernels))
    little = {"machine.memory_per_node": "12MiB"}
    assert (
        sweep.compare("pswpout", "kernel.profile", "linux-2.4.0", "linux-2.4.37", where=little).better == "linux-2.4.37"
    )
    assert (
        sweep.compare("allocstall", "kernel.profile", "linux-2.2", "linux-2.4.0", where=little).better == "linux-2.4.0"
    )
    much = figures(sweep, "end_ns", **{"machine.memory_per_node": "40MiB"})
    assert max(much) < 1.001 * min(much)


def test_beyond_its_reach_a_tlb_misses_and_deeper_tables_cost_more(study: Study) -> None:
    length, entries, mmu = "workload.0.program.2.length", "machine.tlb.entries", "machine.mmu"
    axes = {length: ["1MiB"], entries: [64, 1024], mmu: ["alpha", "x86-64-la57"]}
    sweep = study("tlb-reach", f"sweep.grid={inline(axes)}", "workload.0.program.2.accesses=10_000")
    assert sweep.compare("tlb_misses", entries, 64, 1024).better == "1024"
    walks = sweep.compare("task_time_tlb_walk_ns", mmu, "alpha", "x86-64-la57", where={entries: 64})
    assert walks.better == "alpha"
    assert walks.paired.ratio.estimate == pytest.approx(3 / 5)


def test_read_ahead_pays_in_order_on_a_fast_drive_and_costs_at_random_on_a_disk(study: Study) -> None:
    pages = "kernel.sysctl.vm.page-cluster"
    sweep = study("read-ahead", grid(**{pages: [0, 4]}), "workload.0.program.2.accesses=1000")
    in_order = sweep.compare("end_ns", pages, 0, 4, where={"device": "NVMe", "use": "in order"})
    at_random = sweep.compare("end_ns", pages, 0, 4, where={"device": "disk", "use": "at random"})
    assert (in_order.better, at_random.better) == ("4", "0")


def test_fifo_faults_more_than_lru_and_all_are_alike_where_all_fits(study: Study) -> None:
    policies = ["lru", "clock", "fifo"]
    axes = grid(machine__memory_per_node=["7MiB", "9MiB"], kernel__reclaim=policies)
    sweep = study("policies-over-memory", axes, "workload.0.program.2.accesses=5000")
    little = {"machine.memory_per_node": "7MiB"}
    for better in ("lru", "clock"):
        assert sweep.compare("pgmajfault", "kernel.reclaim", better, "fifo", where=little).better == better
    assert figures(sweep, "pgmajfault", **{"machine.memory_per_node": "9MiB"}) == [0, 0, 0]


def test_what_matters_most_is_memory(study: Study) -> None:
    from scipy.stats import spearmanr

    sweep = study("sensitivity", "sweep.sample.points=16", "sweep.replicas=1", "workload.0.program.2.accesses=3000")
    table = sweep.to_pandas()
    ranks = {name: abs(spearmanr(_numbers(table[name]), table["end_ns"]).statistic) for name in sweep.factors}
    assert max(ranks, key=ranks.__getitem__) == "machine.memory_per_node"
    assert ranks["machine.memory_per_node"] > 0.7
    axes = sweep.plot.facets(metric="end_ns", x="kernel.sysctl.vm.page-cluster")
    points = axes.containers[0].lines[0]
    assert len(points.get_xdata()) == 16
    assert points.get_linestyle() == "None"
    report = page_of_sweep(sweep)
    assert [section.title for section in report.sections][:3] == ["What was varied", "Pictures", "Means"]


def _numbers(values: object) -> list[float]:
    return [parse_bytes(value) if isinstance(value, str) else value for value in values]  # type: ignore[attr-defined]


def test_sort_faults_only_where_it_does_not_fit(study: Study) -> None:
    sweep = study("memory-curve-of-sort", grid(machine__memory_per_node=["10MiB", "16MiB"]))
    assert sweep.compare("end_ns", "machine.memory_per_node", "10MiB", "16MiB").better == "16MiB"
    few, none = figures(sweep, "pgmajfault")
    assert few > none == 0


def test_threads_that_wake_anywhere_leave_their_memory_and_bound_ones_do_not(study: Study) -> None:
    sweep = study("threads-and-nodes", only("threads-and-nodes", "4", "8", "own", "own, bound"))
    four = {"nodes": "4"}
    assert sweep.compare("accesses_remote", "heap", "own", "own, bound", where=four).better == "own, bound"
    assert sweep.compare("accesses_remote", "nodes", "4", "8", where={"heap": "own"}).better == "4"
    assert sweep.compare("end_ns", "kernel.balance.across_nodes", False, True, where={"heap": "own"}).better == "True"
    moved = dict(sweep.intervals("migrations_across_nodes", ["kernel.balance.across_nodes"], where={"heap": "own"}))
    assert moved[(False,)].estimate == 0 < moved[(True,)].low
