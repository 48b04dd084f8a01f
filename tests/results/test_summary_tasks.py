"""How many tasks the summary shows, and how; peaks of swap areas."""

import io

from rich.console import Console
from synthetic_run import small_run

from numa_sim.results import print_summary, summarise


def time_lines(users):
    out = io.StringIO()
    print_summary(summarise(small_run(samples=10, users=users)), Console(file=out, width=100, color_system=None))
    lines = out.getvalue().splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("Where the time went")) :]


def test_few_tasks_show_shares_and_times():
    heading, names, *rest = time_lines(2)
    assert heading.strip() == "Where the time went"
    assert names.split() == ["db-0", "db-1", "all", "tasks"]
    local = next(line for line in rest if line.startswith("local"))
    assert local.count("%") == 3
    assert len(local.split()) == 1 + 3 * 4  # a share with its sign, a time with its unit


def test_more_tasks_show_shares():
    heading, names, *rest = time_lines(6)
    assert heading.strip() == "Where the time went"
    assert names.split() == [*(f"db-{i}" for i in range(6)), "all", "tasks"]
    local = next(line for line in rest if line.startswith("local"))
    assert len(local.split()) == 1 + 6 * 2 + 4


def test_many_tasks_show_the_longest():
    assert time_lines(9)[0].strip() == "Where the time went: the 6 longest of 9 tasks"


def test_peak_is_the_largest_sample():
    result = small_run(samples=30)
    series = result.timeseries.swap
    for area in summarise(result)["swap_areas"]:
        used = [
            int(n) for n, a in zip(series.column("used_pages"), series.column("area"), strict=True) if a == area["area"]
        ]
        assert area["peak_used_pages"] == max(used) > 0
