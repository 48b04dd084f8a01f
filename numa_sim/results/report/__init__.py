"""Reports: one HTML file that says what was run, what came out, how far to trust it, and how to get it again.

A report needs nothing but itself: pictures are inside, and no address is named that a browser would fetch.
"""

from numa_sim.results.report.write import default_name, write_report

__all__ = ["default_name", "write_report"]
