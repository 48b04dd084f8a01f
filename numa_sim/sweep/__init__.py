"""Sweeps: designs of runs with replicas, run by any executor, resumable, and collected into one table."""
