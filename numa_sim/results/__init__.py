"""What remains of a run: the run folder, its checks, tables, summary and pictures.

`write_run` writes a finished run, `open_run` reads one back, `verify_run` says what is wrong with one.  `collect` makes
the table of a sweep's runs, `open_sweep` opens its folder.  Everything heavy (pyarrow, matplotlib, pandas, rich) is
imported only when it is used.
"""

from numa_sim.results.durable import FileLayer
from numa_sim.results.run import Run, open_run
from numa_sim.results.run_folder import leftovers, remove_leftovers, write_run
from numa_sim.results.summary import summarise
from numa_sim.results.summary_tables import print_summary
from numa_sim.results.sweep import Sweep, open_sweep
from numa_sim.results.sweep_table import collect
from numa_sim.results.verify import check_run, verify_run

__all__ = [
    "FileLayer",
    "Run",
    "Sweep",
    "check_run",
    "collect",
    "leftovers",
    "open_run",
    "open_sweep",
    "print_summary",
    "remove_leftovers",
    "summarise",
    "verify_run",
    "write_run",
]
