"""A CPU's TLB as the hardware uses it: look up, fill.  (The kernel empties it: `numa_sim.kernel.tlb`.)

Every set has micro-tags, as many real caches do: a few bits of each way's page number, packed into one word, so that
one comparison says which ways are worth looking at.  Most misses look at none.
"""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import part
from numa_sim.hardware.host import lowest_bit
from numa_sim.state.constants import NIL

_TAG_BITS = 6
_FIELD_BITS = _TAG_BITS + 1  # above each tag a guard bit, 0 in the word
_FIELDS = 8
_ONES = sum(1 << field * _FIELD_BITS for field in range(_FIELDS))
_GUARDS = _ONES << _TAG_BITS
_TAG_MASK = (1 << _TAG_BITS) - 1


@part
def micro_tag(tlb: np.ndarray, vpn: int, set_bits: int) -> int:
    """The bits of a page number just above the `set_bits` that choose its set; 0 in a TLB of too many ways."""
    return (vpn >> set_bits) & _TAG_MASK if tlb.shape[1] <= _FIELDS else 0


@part
def tlb_way(tlb: np.ndarray, micro_tags: np.ndarray, index: int, vpn: int, tag: int) -> int:
    """Way of set `index` that holds `vpn`, NIL if none.

    Filling a way sets its micro-tag, and emptying it leaves the tag: a way without the tag cannot hold the page.
    """
    # The guard bit of a field stays only where the field is equal to the tag.
    equal = (_GUARDS - (micro_tags[index] ^ tag * _ONES)) & _GUARDS
    while equal != 0:
        for way in range(lowest_bit(equal) // _FIELD_BITS, tlb.shape[1], _FIELDS):
            if tlb[index, way].vpn == vpn + 1:
                return way
        equal &= equal - 1
    return NIL


@part
def tlb_fill(
    tlb: np.ndarray, micro_tags: np.ndarray, victims: np.ndarray, index: int, way: int, vpn: int, tag: int, pte: int
) -> None:
    """Load a translation into `way` of its set; NIL: into the set's ways in turn (round robin, as many real TLBs)."""
    if way == NIL:
        way = int(victims[index])
        victims[index] = way + 1 if way + 1 < tlb.shape[1] else 0
        field = way % _FIELDS * _FIELD_BITS
        micro_tags[index] = micro_tags[index] & ~(_TAG_MASK << field) | tag << field
    if way < tlb.shape[1]:  # a TLB switched off has no ways
        tlb[index, way].vpn = vpn + 1
        tlb[index, way].pte = pte
