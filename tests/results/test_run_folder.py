"""A folder with a run's name is whole, whatever happened while it was written; equal runs give equal bytes."""

import errno
import itertools
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import small_run

from numa_sim.errors import InvariantViolation, RunFolderError
from numa_sim.observe import procfs
from numa_sim.observe.result import Snapshot
from numa_sim.results import FileLayer, leftovers, open_run, remove_leftovers, verify_run, write_run
from numa_sim.results.run_folder import is_temporary

PROC = tuple(f"proc/{name}" for name in procfs.FILES)
SAME = (
    "manifest.json", "summary.json",
    "timeseries.parquet", "timeseries-swap.parquet", "timeseries-disk.parquet", "timeseries-cpu.parquet", *PROC,
)  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return small_run(samples=10)


def test_a_folder_holds_what_it_should(tmp_path, result):
    folder = write_run(result, tmp_path / "deep" / "er" / "run")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*SAME, "environment.json", "overview.png"}
    assert verify_run(folder) == []
    assert (folder / "overview.png").read_bytes().startswith(b"\x89PNG")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert set(manifest["files"]) == set(SAME[1:])
    assert manifest["config"] == dict(result.config)
    trace = {"name": "sort.trace", "file": "", "size_bytes": 12345, "sha256": "ab" * 32, "kept": None}
    assert manifest["inputs"] == [trace]
    assert [manifest[key] for key in ("format_version", "seed", "exit_state")] == [2, 1, "until"]


def test_equal_runs_give_equal_bytes_in_other_processes_and_places(tmp_path):
    code = (
        "import sys; from synthetic_run import small_run; from numa_sim.results import write_run\n"
        "write_run(small_run(samples=10), sys.argv[1], picture=False)"
    )
    tests = Path(__file__).parents[1]
    write_run(small_run(samples=10), tmp_path / "here", picture=False)
    variables = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Kathmandu", "NUMBA_DISABLE_JIT": "1"}
    variables["PYTHONPATH"] = os.pathsep.join([str(tests), str(tests.parent)])
    there = tmp_path / "other" / "there"
    there.parent.mkdir()
    subprocess.run([sys.executable, "-c", code, str(there)], env=variables, cwd=there.parent, check=True)
    for name in SAME:
        assert (tmp_path / "here" / name).read_bytes() == (there / name).read_bytes(), name


def test_another_seed_gives_other_bytes(tmp_path, result):
    one = write_run(result, tmp_path / "one", picture=False)
    two = write_run(small_run(samples=10, seed=2), tmp_path / "two", picture=False)
    for name in ("manifest.json", "summary.json", "timeseries.parquet"):
        assert (one / name).read_bytes() != (two / name).read_bytes(), name


def test_recording_events_and_drawing_change_neither_summary_nor_series_nor_hashes(tmp_path, result):
    plain = write_run(result, tmp_path / "plain", picture=False)
    traced = write_run(small_run(samples=10, trace=True, events=64), tmp_path / "traced")
    for name in SAME[1:]:
        assert (plain / name).read_bytes() == (traced / name).read_bytes(), name
    manifests = [open_run(folder).manifest for folder in (plain, traced)]
    assert manifests[0]["event_hash"] == manifests[1]["event_hash"]
    assert "events.parquet" in manifests[1]["files"]
    events = open_run(traced).events
    assert events.num_rows == 10
    assert events.column("event").to_pylist() == ["rmqueue"] * 10
    assert events.column("b").to_pylist() == list(range(8, 18))
    assert events.schema.metadata[b"event_count"] == b"10"


def test_proc_at_the_end_and_on_the_way(tmp_path, result):
    plain = write_run(result, tmp_path / "plain", picture=False)
    areas = [area.name for area in result.swap_areas]
    for name in procfs.FILES:
        assert (plain / "proc" / name).read_text() == procfs.text(result.kernel, name, areas)
    assert not (plain / "proc.parquet").exists()
    watched = replace(result, snapshots=(Snapshot(5, {"meminfo": "a"}), Snapshot(9, {"meminfo": "b"})))
    folder = write_run(watched, tmp_path / "watched", picture=False)
    assert verify_run(folder) == []
    assert open_run(folder).proc.to_pydict() == {"t_ns": [5, 9], "file": ["meminfo"] * 2, "text": ["a", "b"]}


def test_what_is_there_is_never_overwritten(tmp_path, result):
    write_run(result, tmp_path / "run", picture=False)
    before = (tmp_path / "run" / "environment.json").read_bytes()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("run", "empty", "file", "link"):
        with pytest.raises(RunFolderError, match="already exists"):
            write_run(result, tmp_path / name, picture=False)
    assert (tmp_path / "run" / "environment.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link", "run"]


def test_two_writers_of_one_name(tmp_path, result):
    class Slow(FileLayer):
        def rename(self, old, new):
            if not new.exists():
                write_run(result, new, picture=False)  # the other one was faster
            super().rename(old, new)

    with pytest.raises(RunFolderError, match="cannot be written"):
        write_run(replace(result, seed=99), tmp_path / "run", picture=False, files=Slow())
    assert open_run(tmp_path / "run").manifest["seed"] == 1
    assert verify_run(tmp_path / "run") == []
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_places_that_cannot_be_written(tmp_path, result):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_run(result, tmp_path / "file" / "run", picture=False)
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(RunFolderError, match="cannot be written"):
            write_run(result, tmp_path / name, picture=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_long_names_are_fine(tmp_path, result):
    assert verify_run(write_run(result, tmp_path / ("ä" * 120), picture=False)) == []


def test_a_run_whose_times_do_not_add_up_leaves_nothing(tmp_path):
    wrong = small_run(samples=3)
    wrong.kernel.time_parts[2, 0] += 1
    with pytest.raises(InvariantViolation):
        write_run(wrong, tmp_path / "run", picture=False)
    assert list(tmp_path.iterdir()) == []


# n-th failure --------------------------------------------------------------------------------------------------------


class Failing(FileLayer):
    """Fails at operation `n`; afterwards works again, or (`dead`) fails for ever, as after pulling the plug."""

    def __init__(self, n, dead=False):
        self.n, self.dead, self.calls = n, dead, 0
        self.counting = threading.Lock()  # several files are synced at once

    def _count(self, file=None, content=b""):
        with self.counting:
            self.calls += 1
            call = self.calls
        if call == self.n or (self.dead and call > self.n):
            if file is not None and call == self.n:
                file.write_bytes(content[: len(content) // 2])  # torn
            raise OSError(errno.ENOSPC, "No space left on device")

    def make_folder(self, folder):
        self._count()
        super().make_folder(folder)

    def write(self, file, content):
        self._count(file, content)
        super().write(file, content)

    def sync(self, path):
        self._count()
        super().sync(path)

    def rename(self, old, new):
        self._count()
        super().rename(old, new)

    def remove_folder(self, folder):
        self._count()
        super().remove_folder(folder)


LAST = 2 + 2 * (7 + len(PROC)) + 2 + 1 + 1
"""Operations: two folders made, files written and synced, folders synced, folder named, parent synced."""


@pytest.mark.parametrize("dead", [False, True])
def test_every_nth_failure(tmp_path, result, dead):
    for n in itertools.count(1):
        place = tmp_path / str(n)
        place.mkdir()
        disk, error = Failing(n, dead), ""
        try:
            write_run(result, place / "run", picture=False, files=disk)
        except RunFolderError as refusal:
            error = str(refusal)
        here = list(place.iterdir())
        if disk.calls < n:
            break  # nothing was left to fail
        assert "No space left on device" in error
        if n == LAST:  # the folder has its name, only the parent's entry may not outlive a power failure
            assert "is whole" in error
            assert verify_run(place / "run") == []
        else:
            assert all(is_temporary(path) for path in here)
            assert all(verify_run(path) for path in here)
            assert len(here) == (1 if dead and n > 1 else 0)
    assert n == LAST + 1
    assert verify_run(place / "run") == []


def test_every_path_is_synced_once_and_several_at_a_time():
    class Meeting(FileLayer):
        paths, together = [], threading.Barrier(2, timeout=60)

        def sync(self, path):
            self.paths.append(path)
            self.together.wait()

    wanted = [Path(str(i)) for i in range(20)]
    Meeting().sync_all(wanted)
    assert sorted(Meeting.paths) == sorted(wanted)


# SIGKILL -------------------------------------------------------------------------------------------------------------

WRITER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from synthetic_run import small_run
from numa_sim.results import FileLayer, write_run
from numa_sim.results.run_folder import _write_folder, is_temporary

class Listening(FileLayer):
    contents = {}
    def write(self, file, content):
        self.contents["/".join(file.parts[len(place.parts) + 1 :])] = content
        super().write(file, content)

place = Path(sys.argv[1])
write_run(small_run(samples=10), place / "warm", picture=False, files=Listening())
start = time.perf_counter()
_write_folder(place / "timed", Listening.contents, FileLayer())
span = 3 * (time.perf_counter() - start)
rng = np.random.Generator(np.random.PCG64DXSM(1))
torn = turn = 0
while turn < 50 or (turn < 400 and not 8 <= torn <= len(list(place.iterdir())) - 8):
    child = os.fork()
    if child == 0:
        for i in range(1_000_000):
            _write_folder(place / f"{turn}-{i}", Listening.contents, FileLayer())
    time.sleep(span * rng.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    turn += 1
    torn = sum(map(is_temporary, place.iterdir()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment(tmp_path):
    """R12: at least 50 SIGKILLs at random moments: no folder of a run's name that is not whole."""
    tests = Path(__file__).parents[1]
    variables = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    variables["PYTHONPATH"] = os.pathsep.join([str(tests), str(tests.parent)])
    subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], env=variables, check=True, timeout=120)
    folders = list(tmp_path.iterdir())
    torn = [path for path in folders if is_temporary(path)]
    whole = [path for path in folders if not is_temporary(path)]
    assert len(whole) > 5
    assert len(torn) > 5  # else nothing was killed in the middle and this proves nothing
    for path in whole:
        assert verify_run(path) == [], path
    for path in torn:
        assert verify_run(path) != [], path
    assert leftovers(tmp_path) == sorted(torn)
    assert remove_leftovers(tmp_path) == sorted(torn)
    assert sorted(tmp_path.iterdir()) == sorted(whole)


def test_folders_of_writers_still_at_work_are_no_leftovers(tmp_path):
    (tmp_path / f".run.writing-{os.getpid()}-{'0' * 32}").mkdir()
    (tmp_path / ".run.writing").mkdir()
    (tmp_path / "run").mkdir()
    assert leftovers(tmp_path) == []
    gone = tmp_path / f".run.writing-{2**40}-{'0' * 32}"
    gone.mkdir()
    assert leftovers(tmp_path) == [gone]
    assert leftovers(tmp_path / "nothing here") == []
