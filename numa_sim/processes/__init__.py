"""The SimPy processes and what serves them: they decide when, the kernel rules say what."""
