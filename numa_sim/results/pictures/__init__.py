"""Pictures of runs and sweeps, one module each.

Every module has one function, ``plot(source, ax=None, **options)``: it draws into the matplotlib Axes it is given (or
into new ones), returns them, and neither needs a display nor changes a setting of matplotlib::

    from numa_sim.results.pictures import node_fill

    axes = node_fill.plot(run)  # the same as run.plot.node_fill()

`ALL` has every picture by name.  matplotlib itself is imported when the first one is drawn.
"""

from numa_sim.results.pictures.catalogue import ALL, Drawing, Plots, drawing

__all__ = ["ALL", "Drawing", "Plots", "drawing"]
