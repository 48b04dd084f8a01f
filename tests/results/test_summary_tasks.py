"""How many tasks the summary shows, and how; peaks of swap areas."""

import io
from dataclasses import replace

from rich.console import Console
from synthetic_run import small_run

from numa_sim.results import print_summary, summarise


def time_lines(users):
    return printed(small_run(samples=10, users=users))


def printed(result):
    """The table of times and what follows it, as printed in 100 columns."""
    out = io.StringIO()
    print_summary(summarise(result), Console(file=out, width=100, color_system=None))
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


def test_long_names_go_over_several_lines_and_nothing_else_does():
    """Grandchildren have names like bomb/child-1/child-2: their shares and times stay on one line each."""
    result = small_run(samples=10, users=6)
    result = replace(result, tasks=tuple(replace(row, name=f"bomb/{row.name}/child-10") for row in result.tasks))
    heading, *lines = printed(result)
    assert heading.strip() == "Where the time went"
    assert [line.split() for line in lines[:3]] == [
        ["bomb/"] * 6,
        [f"db-{i}/" for i in range(6)],
        [*["child-10"] * 6, "all", "tasks"],
    ]
    assert next(line for line in lines if line.startswith("run time = sum")).count("s") == 1 + 6 + 1
    local = next(line for line in lines if line.startswith("local"))
    assert len(local.split()) == 1 + 6 * 2 + 4
    assert all(len(line.rstrip()) <= 100 for line in lines)


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
