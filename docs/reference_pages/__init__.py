"""Reference pages written from the program itself, so that they cannot say anything else than it does."""

from __future__ import annotations

import re
from pathlib import Path

from reference_pages.command_line import cli_page
from reference_pages.configuration import config_pages
from reference_pages.interface import api_page
from reference_pages.modules import modules_page
from reference_pages.names import names_pages

_CONFIGS = Path(__file__).parents[2] / "configs"


def all_pages() -> dict[str, str]:
    """Every generated page: file name to MyST Markdown."""
    pages = {**config_pages(), "cli.md": cli_page(), "api.md": api_page(), **names_pages()}
    return {**pages, "examples.md": examples_page(), "studies.md": studies_page(), "modules.md": modules_page()}


def examples_page() -> str:
    """The README of ``configs/``, which lies outside the site."""
    text = (_CONFIGS / "README.md").read_text().replace("(studies/README.md)", "(studies.md)")
    return f"# Example configurations\n\nThe files of the folder `configs/`.\n\n{text}"


def studies_page() -> str:
    """The README of ``configs/studies/``, likewise; the files it links to are in the folder, not in the site."""
    text = (_CONFIGS / "studies" / "README.md").read_text()
    return re.sub(r"\[(`[^`]+`)\]\([\w.-]+\.toml\)", r"\1", text).replace("](../../docs/", "](../../")


def write_pages(folder: Path) -> None:
    """Write the pages into `folder`; those that say the same as before are left alone, others there are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = all_pages()
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text() != text:
            page.write_text(text)
