"""A table of words and numbers, as the terminal and reports show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numa_sim.results.readable import readable_ns

__all__ = ["TextTable", "percent", "share", "text_table"]


@dataclass
class TextTable:
    """A table whose cells are texts.

    Attributes
    ----------
    title : str
        What it shows.
    columns : tuple of str
        Heads of the columns.
    left : int
        The first so many columns are words, the others numbers.
    rows : list of tuple of str
        Its cells.
    section_ends : set of int
        Rows behind which a new group begins.
    whole : set of int
        Columns whose cells stay on one line where the table is too wide.
    """

    title: str
    columns: tuple[str, ...]
    left: int = 1
    rows: list[tuple[str, ...]] = field(default_factory=list)
    section_ends: set[int] = field(default_factory=set)
    whole: set[int] = field(default_factory=set)

    def add_row(self, *cells: str, end_section: bool = False) -> None:
        """Add a row; with `end_section` the last of its group."""
        if end_section:
            self.section_ends.add(len(self.rows))
        self.rows.append(cells)

    def __rich__(self) -> Any:
        """The same as a table of rich."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        heading = Text(self.title, style="bold")
        table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for i, name in enumerate(self.columns):
            side = "left" if i < self.left else "right"
            table.add_column(Text(name), justify=side, overflow="fold", no_wrap=i in self.whole)  # type: ignore[arg-type]
        for i, row in enumerate(self.rows):
            table.add_row(*map(Text, row), end_section=i in self.section_ends)
        return table


def text_table(title: str, *columns: str, left: int = 1) -> TextTable:
    """An empty table; the first `left` columns are words, the others numbers."""
    return TextTable(title, columns, left)


def percent(part_ns: int, whole_ns: int) -> str:
    """A share in percent, six characters wide and the sign."""
    return f"{100 * part_ns / whole_ns if whole_ns else 0.0:5.1f} %"


def share(part_ns: int, whole_ns: int) -> str:
    """A share in percent, and the time itself."""
    return f"{percent(part_ns, whole_ns)}  {readable_ns(part_ns):>8}"
