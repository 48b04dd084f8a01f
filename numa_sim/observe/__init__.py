"""Looking at a running machine: time series, latency attribution, hashes, procfs text.  Nothing here writes state."""
