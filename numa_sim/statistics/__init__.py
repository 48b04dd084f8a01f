"""Statistics of simulation output: warm-up, batch means, intervals, paired comparisons, when to stop."""
