"""Reports: whole in one file, true to the folder, safe to open, the same again; and what they warn of."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sweep.tiny import config
from sweep_folders import grid, make_sweep, write_failure

from numa_sim import Machine, write_run
from numa_sim.cli.app import main
from numa_sim.errors import RunFolderError
from numa_sim.results import open_sweep
from numa_sim.results.readable import readable_interval
from numa_sim.results.report import default_name, write_report
from numa_sim.results.report.of_sweep import page_of_sweep
from numa_sim.results.report.trust import GIVEN_PARTS, MEASURED_PARTS, ORDINAL_PARTS
from numa_sim.state.counters import TIME_PARTS
from numa_sim.sweep import run_sweep
from numa_sim.sweep.shards import Shard
from numa_sim.version import __version__

MEMORY = "machine.memory_per_node"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def crowded(task):
    heap = yield task.mmap("12MiB")
    from numa_sim import sequential, uniform

    yield task.touch(heap, sequential(), accesses=3072, write=1.0)
    yield task.touch(heap, uniform(), accesses=4000, write=0.5)


CONFIG = {
    "machine": {
        "nodes": [{"memory": "6MiB", "cpus": "0"}, {"memory": "4MiB", "cpus": "1"}],
        "distances": [[10, 21], [21, 10]],
        "swap": [{"device": "nvme", "size": "4MiB"}],
    },
    "kernel": {"switches": {"readahead": False}},
    "workload": [
        {
            "name": "<b>hog</b>",
            "program": [
                {"op": "mmap", "as": "heap", "size": "12MiB"},
                {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 3072, "write": 1.0},
                {"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "accesses": 3000, "write": 0.5},
            ],
        }
    ],
    "run": {"seed": 5, "sample": "1ms"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from numa_sim import Config

    return write_run(Machine(Config.of(**CONFIG)).run_to_end(), tmp_path_factory.mktemp("runs") / "crowded")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Three sizes of memory, two replicas; one run is missing and has failed."""
    points = grid({MEMORY: ["6MiB", "8MiB", "9MiB"]})
    folder = make_sweep(tmp_path_factory.mktemp("sweeps") / "sizes", points, replicas=2, leave_out=(5,))
    lost = json.loads((folder / "sweep.json").read_bytes())["runs"][5]
    write_failure(folder, lost, "MemoryError", "no <room>")
    return folder


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    """Report of the run, made once: drawing its pictures takes a second or two."""
    return write_report(run, tmp_path_factory.mktemp("reports") / "run.html")


@pytest.fixture(scope="module")
def sweep_report(sweep, tmp_path_factory):
    return write_report(sweep, tmp_path_factory.mktemp("reports") / "sweep.html")


class Page(HTMLParser):
    """What a browser would make of a report: texts of table cells, addresses, names."""

    def __init__(self, file):
        super().__init__()
        self.tags, self.ids, self.links, self.images, self.cells, self.texts = [], [], [], [], [], []
        self._open = []
        self.feed(Path(file).read_text())
        assert not self._open, "every tag is closed"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.images += [attributes["src"]] if "src" in attributes else []
        if tag not in ("meta", "link", "img"):
            self._open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self._open and self._open[-1] in ("td", "th"):
            self.cells[-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.mark.parametrize("kind", ["report", "sweep_report"])
def test_a_report_is_one_file_that_fetches_nothing(kind, request):
    file = request.getfixturevalue(kind)
    page = Page(file)
    assert "script" not in page.tags
    assert len(set(page.ids)) == len(page.ids)
    assert {link for link in page.links if link != "data:,"} <= {f"#{name}" for name in page.ids}
    assert len(page.images) >= 3
    for address in page.images:
        form, _, content = address.partition(";base64,")
        assert form == "data:image/svg+xml"
        assert ElementTree.fromstring(base64.b64decode(content)).tag.endswith("svg")
    outside = re.findall(r"(?:https?:)?//[^\s\"')]+", file.read_text().replace("data:image/svg+xml", ""))
    assert not [address for address in outside if not re.fullmatch(r"//[A-Za-z0-9+/=]*", address)]
    assert list(file.parent.iterdir()) == [file]


def test_a_run_is_reported_as_it_was(run, report):
    page = Page(report)
    summary = json.loads((run / "summary.json").read_bytes())
    counters = summary["totals"]["vmstat"]
    for name in ("numa_hit", "numa_miss", "pswpout", "pgmajfault", "pgsteal_kswapd"):
        at = page.cells.index(name)
        assert page.cells[at + 3].replace(" ", "") == str(counters[name]), name
    assert summary["run"]["event_hash"] in page.cells
    assert "linux-2.4.37" in page.cells
    assert "Switched off, which no real kernel does: readahead." in page.text
    assert "numa-sim reproduce crowded" in page.text
    assert json.dumps(json.loads((run / "manifest.json").read_bytes())["config"]["run"]["seed"]) in page.text


def test_names_of_a_configuration_are_text_not_html(report):
    page = Page(report)
    assert "b" not in page.tags
    assert "<b>hog</b>" in page.cells


def test_few_samples_are_warned_of_and_many_are_not(report, tmp_path, quick):
    from numa_sim import Config

    rare = Machine(Config.of(**CONFIG | {"run": {"seed": 5, "sample": "1h"}})).run_to_end()
    page = Page(write_report(write_run(rare, tmp_path / "rare", picture=False), tmp_path / "rare.html"))
    assert (
        "Pictures over time are drawn from 2 samples, start and end included; for more, lower run.sample." in page.text
    )
    assert "Pictures over time" not in Page(report).text


def test_every_part_of_time_rests_on_measurement_request_or_guess():
    assert sorted((*MEASURED_PARTS, *GIVEN_PARTS, *ORDINAL_PARTS)) == sorted(TIME_PARTS)


def test_a_sweep_is_reported_with_intervals_and_what_is_missing(sweep, tmp_path):
    page = Page(write_report(sweep, tmp_path / "report.html", ("pgmajfault",)))
    opened = open_sweep(sweep)
    for (size,), interval in opened.intervals("pgmajfault"):
        at = page.cells.index(size, page.cells.index("pgmajfault"))
        assert page.cells[at + 2] == readable_interval(interval)
    assert "1 of 6 runs are not there; means are over those that are." in page.text
    assert "failed: MemoryError: no <room> (attempts: 1)." in page.text
    assert "Points with one replica have no interval" in page.text
    against = opened.compare("pgmajfault", MEMORY, "8MiB", "6MiB")
    at = page.cells.index("8MiB", page.cells.index("clear?"))
    assert page.cells[at + 1 : at + 3] == [readable_interval(against.paired.difference), "yes"]
    assert against.better == "8MiB"


@pytest.fixture
def quick(monkeypatch):
    """Pictures are drawn, but not rendered."""
    monkeypatch.setattr("numa_sim.results.pictures.figure.contents", lambda drawn, form: b"<svg/>")


def made(folder, config, without=()):
    """A sweep of the runner's, without the runs of some points, as if they had failed."""
    run_sweep(config, folder, jobs=0)
    for run in json.loads((folder / "sweep.json").read_bytes())["runs"]:
        if run["point"] in without:
            shutil.rmtree(folder / "runs" / run["run"])
    return folder


WRITES = "workload.0.program.1.write"


def test_values_without_a_pair_are_a_dash_with_its_reason_and_the_report_goes_on(tmp_path, quick):
    """A point of which every run was quarantined: it has no pairs, the others have."""
    folder = made(tmp_path / "sweep", config(replicas=2, grid={WRITES: [0.0, 0.5, 1.0]}), without=(0,))
    page = Page(write_report(folder, tmp_path / "report.html", ("pgmajfault",)))
    assert f"{WRITES}, against 0.5" in page.text  # the first value that has runs
    at = page.cells.index("clear?")
    assert page.cells[at + 1 : at + 5] == ["pgmajfault", "0.0", "–", "–"]
    assert page.cells[at + 5 : at + 7] == ["pgmajfault", "1.0"]
    assert page.cells[at + 7] != "–"
    assert "–: no replica has pgmajfault for both 0.0 and 0.5." in page.text
    assert "2 of 6 runs are not there; means are over those that are." in page.text
    assert "Points with one replica" not in page.text  # it is points with none
    (again,) = re.findall(r"numa-sim reproduce (sweep/runs/\S+)", page.text)
    assert (tmp_path / again).is_dir()


def test_one_shard_of_a_sweep_is_reported_although_its_replicas_are_of_different_points(tmp_path, quick):
    folder = tmp_path / "sweep"
    run_sweep(config(replicas=3, grid={WRITES: [0.0, 1.0]}), folder, jobs=0, shard=Shard.parse("1/4"))
    page = Page(write_report(folder, tmp_path / "report.html"))
    assert "4 of 6 runs are not there" in page.text


def test_groups_without_a_common_point_are_reported_without_comparisons(tmp_path, quick):
    groups = [
        {"grid": {"kernel.reclaim": ["lru"], WRITES: [0.0]}},
        {"grid": {"kernel.reclaim": ["clock"], WRITES: [1.0]}},
    ]
    folder = made(tmp_path / "sweep", config(replicas=2, groups=groups))
    page = Page(write_report(folder, tmp_path / "report.html"))
    assert (
        "nothing is compared with lru, as no points differ in nothing but kernel.reclaim = clock and lru." in page.text
    )
    assert "How to get it again" in page.text


def test_a_sweep_without_any_finished_run_names_none_to_make_again(tmp_path, quick):
    folder = made(tmp_path / "sweep", config(replicas=1, grid={WRITES: [0.0]}), without=(0,))
    page = Page(write_report(folder, tmp_path / "report.html"))
    assert "numa-sim sweep status sweep" in page.text
    assert "numa-sim reproduce" not in page.text


def test_a_sweep_says_which_version_made_it(sweep, sweep_report):
    assert f"numa_sim {__version__}, report of a sweep" in Page(sweep_report).text
    made = next(sweep.glob("runs/*/environment.json"))
    whole = made.read_bytes()
    made.write_text(json.dumps({**json.loads(whole), "numa_sim": "0.0.1"}))
    try:
        assert page_of_sweep(open_sweep(sweep), ["end_ns"]).footer.startswith(f"numa_sim 0.0.1 and {__version__},")
    finally:
        made.write_bytes(whole)


def test_a_third_factor_has_panels_and_what_else_is_fixed_is_said(tmp_path):
    switches = {f"kernel.switches.{name}": [True, False] for name in ("tlb", "kswapd", "locks")}
    folder = make_sweep(tmp_path / "sweep", grid({MEMORY: ["6MiB", "8MiB"], **switches}), replicas=1)
    pictures = next(each for each in page_of_sweep(open_sweep(folder), ["end_ns"]).sections if each.title == "Pictures")
    figure = pictures.blocks[0].figures[0]
    assert "a panel per kernel.switches.kswapd, only at kernel.switches.locks = true." in figure.about
    assert b"fixed: locks = true" in figure.svg.replace(b"<!-- ", b"")


def test_runs_cut_short_are_a_grave_note_and_marked_in_the_means(tmp_path, quick):
    cases = [{"label": "swap"}, {"label": "none", "machine": {"swap": []}}]
    folder = made(tmp_path / "sweep", config(replicas=1, cases=cases))
    file = write_report(folder, tmp_path / "report.html", ("end_ns",))
    page = Page(file)
    assert page.cells[page.cells.index("none") + 1] == "1*"
    assert "* Runs were cut short: see how far to trust it." in page.text
    grave = file.read_text().split('<ul class="notes grave">')[1].split("</ul>")[0]
    assert "1 of 2 runs ended by oom (a task was killed for lack of memory), at machine = none." in grave


def test_a_sample_beside_cases_has_a_picture_for_each_metric_and_one_replica_no_interval(tmp_path, quick):
    sample = {"method": "sobol", "points": 2, "ranges": {WRITES: {"from": 0.1, "to": 0.9}}}
    cases = [{"label": name, "kernel": {"reclaim": name}} for name in ("lru", "clock")]
    folder = made(tmp_path / "sweep", config(replicas=1, sample=sample, cases=cases))
    page = Page(write_report(folder, tmp_path / "report.html", ("end_ns", "pgmajfault")))
    assert {f"facets-{metric}-{WRITES}" for metric in ("end_ns", "pgmajfault")} <= set(page.ids)
    assert f"One run of each point: pgmajfault over {WRITES}." in page.text
    assert "95 % interval of" not in page.text.partition("Means over replicas")[0]


def exit_code(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code, capsys.readouterr()


def test_the_command_writes_the_same_bytes_beside_the_folder_and_says_where(run, report, capsys):
    code, said = exit_code(["report", run], capsys)
    assert default_name(run) == run.parent / "crowded-report.html"
    assert (code, said.out) == (0, f"{default_name(run)}\n")
    assert default_name(run).read_bytes() == report.read_bytes()


def test_what_cannot_be_reported_is_one_error_and_no_file(run, sweep, tmp_path, capsys):
    changed = shutil.copytree(run, tmp_path / "changed")
    (changed / "summary.json").write_bytes((changed / "summary.json").read_bytes() + b" ")
    for folder, more, words in (
        (tmp_path / "nothing", (), "does not exist"),
        (tmp_path, (), "no run folder"),
        (changed, (), "summary.json"),
        (run, ("--metric", "pswpin"), "is a run"),
        (sweep, ("--metric", "pgmajfalt"), "pgmajfault"),
        (run, ("--out", tmp_path / "no" / "r.html"), "cannot be written"),
    ):
        out = () if "--out" in more else ("--out", tmp_path / "r.html")
        code, said = exit_code(["report", folder, *out, *more], capsys)
        assert (code, said.out) == (2, ""), folder
        assert words in said.err
        assert said.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_opens_it_without_complaint_and_prints_it(report, tmp_path):
    file = report
    options = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
        "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
    )  # fmt: skip
    pdf = tmp_path / "report.pdf"
    for what in ("--dump-dom", f"--print-to-pdf={pdf}"):
        done = subprocess.run([CHROMIUM, *options, what, file.as_uri()], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0
        assert "CONSOLE" not in done.stderr
        if what == "--dump-dom":
            assert "How to get it again" in done.stdout
    assert pdf.read_bytes().startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) <= 12


def test_a_folder_that_is_neither_run_nor_sweep_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no run folder"):
        write_report(tmp_path)
