"""Workloads: programs, access patterns and recorded traces."""
