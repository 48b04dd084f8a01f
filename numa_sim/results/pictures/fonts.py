"""Characters that the font of pictures lacks: drawn in another font that is installed, or told of once, in plain words.

Imports matplotlib: import it where it is used.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any, Final, TypeVar

from matplotlib import font_manager
from matplotlib.text import Text

from numa_sim.errors import FontWarning

__all__ = ["FALLBACKS", "drawn_with_fallbacks"]

FALLBACKS: Final = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "IPAexGothic",
    "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans",
    "FreeSans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS",
    "Unifont",
)  # fmt: skip
"""Families asked for what matplotlib's own font lacks, as far as they are installed; the first that has it is used."""
_GLYPH: Final = re.compile(r"Glyph (\d+) .*missing from")
_Drawn = TypeVar("_Drawn")


def drawn_with_fallbacks(figure: Any, draw: Callable[[], _Drawn]) -> _Drawn:
    """Draw a figure; where its font lacks characters, again with the fonts that are installed.

    Warns
    -----
    FontWarning
        If no font has them.
    """
    drawn, lacking = _lacking(draw)
    if lacking and (installed := _installed()):
        for text in figure.findobj(Text):  # ticks have their texts by now
            text.set_fontfamily([*text.get_fontfamily(), *installed])
        drawn, lacking = _lacking(draw)
    if lacking:
        warnings.warn(FontWarning(lacking), stacklevel=4)
    return drawn


def _lacking(draw: Callable[[], _Drawn]) -> tuple[_Drawn, str]:
    """What is drawn, and the characters that no font had; other warnings are passed on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn = draw()
    codes: dict[str, None] = {}
    for warning in caught:
        if found := _GLYPH.match(str(warning.message)):
            codes.setdefault(chr(int(found[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return drawn, "".join(codes)


def _installed() -> list[str]:
    """The fallbacks that are there."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    return [family for family in FALLBACKS if family in there]
