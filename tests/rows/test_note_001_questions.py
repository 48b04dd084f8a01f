"""Note 001's list of questions: each has its modules, and a text that answers it for a machine that has run."""

from __future__ import annotations

import importlib

import pytest
from machine.small import NVME, finish, small

from numa_sim.observe.proc_pid import FILES as OF_PROCESSES

QUESTIONS = {
    "how physical memory is organised": ("bootmem", "mmzone", "zoneinfo", "Node 0, zone"),
    "how it is allocated": ("page_alloc", "buddy", "buddyinfo", "Node 0, zone"),
    "how it is mapped": ("pgtable", "memory", "vmstat", "nr_page_table_pages"),
    "how virtual memory is allocated": ("vmalloc", "mmap", "vmstat", "nr_vmalloc"),
    "what memory is there before": ("bootmem", "mmzone", "meminfo", "MemTotal:"),
    "slab": ("slab.cache", "slab.objects", "slabinfo", "size-128"),
    "page cache": ("filemap", "readahead", "vmstat", "pagecache_hit"),
}


@pytest.mark.row("S1-01")
def test_every_question_has_modules_and_a_report():
    disk = {"name": "d", "device": "nvme", "size": "1GiB"}
    machine = small(swap=(NVME,), disk=[disk], file=[{"name": "data", "disk": "d", "size": "64KiB"}])

    def program(task):
        heap = yield task.mmap("64KiB")
        yield task.touch(heap, write=1.0)
        file = yield task.open("data")
        yield task.read(file, "64KiB")
        yield task.kmalloc(100)
        yield task.vmalloc("8KiB")

    machine.add(program)
    finish(machine)
    for first, second, text, says in QUESTIONS.values():
        for module in (first, second):
            assert importlib.import_module(f"numa_sim.kernel.{module}").__doc__
        assert says in machine.procfs(text)
    # How a process' space is organised is told while it lives.
    assert {"maps", "smaps"} <= set(OF_PROCESSES)
