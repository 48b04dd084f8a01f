"""The version of the package; what a run leaves behind names it."""

__version__ = "0.1.0"
