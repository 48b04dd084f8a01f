"""The command line ``numa-sim``."""
