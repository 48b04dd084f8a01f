"""What a report consists of, and its HTML."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from numa_sim.results.text_tables import TextTable

__all__ = ["Block", "Code", "Figure", "Figures", "Notes", "Page", "Paragraph", "Section", "Table", "rendered"]

_TEMPLATE: Final = "page.html.j2"


@dataclass(frozen=True)
class Paragraph:
    """Some sentences."""

    text: str
    kind: str = "paragraph"


@dataclass(frozen=True)
class Notes:
    """Remarks, one line each; `grave` ones must be read before the figures are believed."""

    lines: tuple[str, ...]
    grave: bool = False
    kind: str = "notes"


@dataclass(frozen=True)
class Figure:
    """A picture, the file itself, and what it shows."""

    name: str
    about: str
    svg: bytes

    @property
    def address(self) -> str:
        """The picture as an address that needs no fetching."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode("ascii")


@dataclass(frozen=True)
class Figures:
    """Pictures, beside each other where the page is wide."""

    figures: tuple[Figure, ...]
    kind: str = "figures"


@dataclass(frozen=True)
class Code:
    """Something to type, or a file to read; folded away if it has a title."""

    text: str
    title: str = ""
    kind: str = "code"


@dataclass(frozen=True)
class Table:
    """A table and a remark below it."""

    table: TextTable
    remark: str = ""
    kind: str = "table"


Block = Paragraph | Notes | Figures | Code | Table


@dataclass
class Section:
    """A heading and what stands under it; left out if that is nothing."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Its name in addresses."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes
    ----------
    title, headline : str
        What it is about, in a few words and in one sentence.
    sections : sequence of Section
        In their order.
    footer : str
        By what it was made.
    """

    title: str
    headline: str
    sections: Sequence[Section]
    footer: str


def rendered(page: Page) -> str:
    """HTML of a page: one file, nothing to fetch, no scripts; the same page gives the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("numa_sim.results.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [section for section in page.sections if section.blocks]
    return environment.get_template(_TEMPLATE).render(page=page, sections=sections)
