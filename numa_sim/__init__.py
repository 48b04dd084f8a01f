"""numa_sim: a discrete-event simulator of Linux NUMA memory management."""

__version__ = "0.1.0"
