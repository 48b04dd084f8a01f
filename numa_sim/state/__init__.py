"""The state arrays of a machine, and nothing else."""
