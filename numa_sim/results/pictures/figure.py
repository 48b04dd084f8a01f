"""A matplotlib Figure that notebooks show without pyplot.  Imports matplotlib: import it where it is used."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from numa_sim.errors import ConfigError, RunFolderError
from numa_sim.results.durable import replace_file
from numa_sim.results.pictures.fonts import drawn_with_fallbacks

__all__ = ["FORMATS", "Picture", "ShownAxes", "contents", "save"]

FORMATS: Final = ("png", "svg", "pdf")
_METADATA: Final[dict[str, dict[str, Any]]] = {
    # Neither versions nor dates: the same picture is the same file.
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}
_DPI: Final = 120


class Picture(Figure):
    """A Figure that is its own PNG; nothing global keeps it alive, as pyplot would."""

    def png(self) -> bytes:
        """Return it as a PNG of 120 dots per inch; the same figure gives the same bytes."""
        return contents(self, "png", _DPI)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.png()


class ShownAxes(Axes):
    """Axes that notebooks show as the picture they are in."""

    def _repr_png_(self) -> bytes:
        return contents(self, "png", _DPI)


def save(drawn: Axes | Figure, file: Path | str, *, dpi: int = _DPI) -> Path:
    """Write a picture (or the figure of some axes) to a file, in one step; the same picture gives the same bytes.

    Parameters
    ----------
    drawn : Axes or Figure
        What a picture's ``plot`` returned.
    file : path
        Named ``*.png``, ``*.svg`` or ``*.pdf``.
    dpi : int
        Dots per inch of a PNG, and of the images in the others.

    Raises
    ------
    ConfigError
        Another ending, or a file that cannot be written; an older one is then still there.
    """
    path = Path(file)
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise ConfigError(path, "", "is no picture file by its name", tuple(f"*.{name}" for name in FORMATS))
    content = contents(drawn, form, dpi)
    try:
        replace_file(path, content)
    except RunFolderError as problem:
        raise ConfigError(path, "", problem.message) from problem
    return path


def contents(drawn: Axes | Figure, form: str, dpi: int = _DPI) -> bytes:
    """Return a picture (or the figure of some axes) as a file's contents; `form` is one of `FORMATS`."""
    figure: Any = drawn.get_figure(root=True) if isinstance(drawn, Axes) else drawn

    def draw() -> bytes:
        file = io.BytesIO()
        with rc_context({"svg.hashsalt": "numa_sim"}):  # names of the file's parts, else random
            figure.savefig(file, format=form, dpi=dpi, metadata=_METADATA[form])
        return file.getvalue()

    return drawn_with_fallbacks(figure, draw)
