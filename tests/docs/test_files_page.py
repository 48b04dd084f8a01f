"""The page on file formats names what is in a run folder, in a summary and in a sweep folder."""

import re
from pathlib import Path

import pytest

from numa_sim.config import Config
from numa_sim.processes.machine import Machine
from numa_sim.results import open_run, write_run

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that records everything there is to record."""
    config = Config.of(
        machine={
            "nodes": [{"memory": "8MiB", "cpus": "0"}, {"memory": "8MiB", "cpus": "1"}],
            "distances": [[10, 21], [21, 10]],
            "swap": [{"device": "nvme", "size": "16MiB"}],
        },
        workload=[
            {
                "name": "crash",
                "limits": {"core": "1MiB"},
                "program": [
                    {"op": "mmap", "as": "heap", "size": "64KiB"},
                    {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 16, "write": 1.0},
                    {"op": "access", "at": "0x1000"},
                ],
            }
        ],
        run={
            "record_events": 1000, "snapshot": "1us", "fault_latency": True, "timeline": True,
            "observe": ["buddy", "access_map"],
        },
    )  # fmt: skip
    return write_run(Machine(config).run_to_end(), tmp_path_factory.mktemp("files") / "run", picture=True)


def test_every_file_of_a_run_folder_is_on_the_page(folder):
    named = set(re.findall(r"`([\w.-]+/?)`", PAGE))
    there = {path.name + "/" * path.is_dir() for path in folder.iterdir()}
    assert there - named == set()
    assert {"cores/", "events.parquet", "overview.png", "trace.pftrace", "access-map.parquet"} <= there


def test_every_part_of_a_summary_is_on_the_page(folder):
    assert set(open_run(folder).summary) - {"format_version"} - set(re.findall(r"`(\w+)`", PAGE)) == set()
