"""A matplotlib Figure that notebooks show without pyplot.  Imports matplotlib: import it where it is used."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

__all__ = ["Picture"]


class Picture(Figure):
    """A Figure that is its own PNG; nothing global keeps it alive, as pyplot would."""

    def png(self) -> bytes:
        """Return it as a PNG of 120 dots per inch; the same figure gives the same bytes."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=120, metadata={"Software": None})
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.png()
