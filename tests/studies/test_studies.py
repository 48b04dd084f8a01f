"""What each shipped study finds, found again by a smaller sweep: the decisive points, few replicas, fewer accesses."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from numa_sim import Sweep, load, open_sweep, run_sweep

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


def axis(**values: object) -> str:
    """Settings of axes, ``__`` for a dot in their names."""
    raise NotImplementedError


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
    for said in ("# Question: ", "# What to see: ", f"numa-sim sweep configs/studies/{name}.toml", "# It does not show: "):
        assert said in head, said
    assert tomllib.loads(text)["sweep"]
    assert load(STUDIES / f"{name}.toml").sweep is not None


def test_a_heap_spills_where_its_node_ends_and_costs_latency_only(study: Study) -> None:
    sizes = 'sweep.zip={"workload.0.program.0.size"=["12MiB","24MiB"],"workload.0.program.1.accesses"=[3072,6144]}'
    sweep = study("fill-and-spill", sizes, "workload.0.program.2.accesses=20_000")
    assert figures(sweep, "accesses_remote")[0] == 0
    assert sweep.compare("mean_latency_ns", "workload.0.program.0.size", "12MiB", "24MiB").better == "12MiB"
    assert figures(sweep, "pgmajfault") == [0, 0]


def test_pages_dealt_out_to_all_nodes_wait_less_than_pages_on_one(study: Study) -> None:
    lasts = [f"workload.0.program.{thread}.program.2.accesses=4000" for thread in (2, 3, 4)]
    sweep = study("first-touch-placement", *lasts, "workload.0.program.7.accesses=4000")
    own, all_of_it = {"read": "own quarter"}, {"read": "all of it"}
    latency = dict.fromkeys(("metric",), "mean_latency_ns")
    for other in ("one", "alternating"):
        assert sweep.compare(**latency, factor="placement", a="local", b=other, where=own).better == "local"
    queues = sweep.compare("mean_queue_ns", "placement", "one", "alternating", where=all_of_it)
    assert queues.better == "alternating"
    assert queues.paired.difference.low > 10


def test_striping_over_two_devices_is_faster_than_using_them_in_turn(study: Study) -> None:
    cases = tomllib.loads((STUDIES / "swap-striping.toml").read_text(encoding="utf-8"))["sweep"]["cases"]
    assert [case["label"] for case in cases[1:3]] == ["2 SSDs in turn", "2 SSDs striped"]
    sweep = study("swap-striping", "sweep.replicas=3")
    speed = sweep.compare("end_ns", "machine", "2 SSDs in turn", "2 SSDs striped")
    assert speed.better == "2 SSDs striped"
    assert sweep.compare("end_ns", "machine", "1 disk", "2 disks striped").better == "2 disks striped"
    assert sweep.compare("end_ns", "machine", "SSD before disk", "SSD and disk striped").better == "SSD before disk"


def test_strict24_swaps_while_the_neighbour_is_empty(study: Study) -> None:
    size = 'sweep.zip={"workload.0.program.0.size"=["20MiB"],"workload.0.program.1.accesses"=[5120]}'
    sweep = study("one-full-one-empty", size, "workload.0.program.2.accesses=4000")
    assert sweep.compare("end_ns", "kernel.numa_fallback", "strict24", "nearest").better == "nearest"
    swapped = dict(sweep.intervals("pswpout", by=["kernel.numa_fallback"]))
    assert swapped[("nearest",)].estimate == 0
    assert swapped[("strict24",)].low > 0
