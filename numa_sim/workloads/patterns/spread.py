"""A bijection of 0 .. pages-1 onto itself that looks random, computed without a table."""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.workloads.patterns.source import require


@rule
def spread(index: int, pages: int, bits: int, key: int) -> int:
    """Return the page that `index` (0 .. pages-1) is spread to.

    Each step is a bijection of the `bits`-bit numbers (add, xor with the upper half, multiply by an odd number);
    results beyond `pages` go through the steps again until one fits, which keeps the whole a bijection (cycle
    walking).  With ``2**bits < 2 * pages`` that takes less than two rounds on average.  The products stay below
    2**63 for 32 bits, so compiled and plain Python agree.
    """
    mask = (1 << bits) - 1
    half = (bits + 1) >> 1
    x = index
    while True:
        x = (x + key) & mask
        x ^= x >> half
        x = (x * 0x2C1B3C6D) & mask
        x ^= x >> half
        x = (x * 0x297A2D39) & mask
        x ^= x >> half
        if x < pages:
            return x


def bits_for(pages: int) -> int:
    """Bits of the smallest power of two that is not below `pages`, which may be 2**32 (16 TiB) at most."""
    require(pages <= 1 << 32, "touch.pages", f"{pages} pages in random order", "1 to 2**32")
    return (pages - 1).bit_length()
