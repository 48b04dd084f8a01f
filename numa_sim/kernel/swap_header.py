"""The first page of a swap area: union swap_header of include/linux/swap.h @2.4.37 (spec 6.9), as bytes.

Two formats, told apart by the last ten bytes of the page.  ``SWAP-SPACE`` (1, Linux before 2.2): the page is a bitmap
of the usable pages.  ``SWAPSPACE2`` (2): numbers, and a list of bad pages; `mkswap` of util-linux calls it version 1.

Little-endian only, as written on i386 and x86-64; pages are 4 KiB.  Version 2 keeps the boot sector's 1024 bytes free.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from errno import EINVAL
from typing import Final

from numa_sim.errors import SwapError
from numa_sim.state.constants import PAGE_SIZE

V1_SIGNATURE: Final = b"SWAP-SPACE"
V2_SIGNATURE: Final = b"SWAPSPACE2"
V1_MAX_PAGES: Final = (PAGE_SIZE - len(V1_SIGNATURE)) * 8
"""Pages a version-1 header's bitmap can describe, header included: 32688."""
V2_MAX_SLOTS: Final = (1 << 24) - 2
"""Slots the 24 bits of a swap entry's offset can name, as sys_swapon counts them."""
MAX_BAD_PAGES: Final = 637
"""MAX_SWAP_BADPAGES: what fits between the fields of a version-2 header and its signature."""
MIN_PAGES: Final = 10
"""Smallest area mkswap makes."""

_V2 = struct.Struct("<III16s16s")  # version, last_page, nr_badpages, uuid, volume label
_V2_START: Final = 1024
_BAD_PAGES_START: Final = _V2_START + 12 + 125 * 4
_SIGNATURE_START: Final = PAGE_SIZE - 10
_LABEL_BYTES: Final = 16


@dataclass(frozen=True)
class SwapHeader:
    """What a header says.

    Attributes
    ----------
    version : {1, 2}
        ``SWAP-SPACE`` or ``SWAPSPACE2``.
    slots : int
        Length of the area's swap_map, the header's own slot included (``swap_info.max``).  Of version 2 it is the
        number of the area's last page: that page itself is never used.
    bad : tuple of int
        Slots in 1 to ``slots - 1`` that must not be used.
    label : str
        Volume label, version 2 only, at most 16 bytes.
    uuid : bytes
        16 bytes, version 2 only.
    """

    version: int
    slots: int
    bad: tuple[int, ...] = ()
    label: str = ""
    uuid: bytes = bytes(16)

    @property
    def usable(self) -> int:
        """Slots that can hold a page."""
        return self.slots - 1 - len(self.bad)


def for_area(pages: int, version: int = 2, bad: Iterable[int] = (), label: str = "", uuid: bytes = b"") -> SwapHeader:
    """The header mkswap writes for an area of `pages` pages.

    Raises
    ------
    SwapError
        EINVAL: an area too small, a bad page outside it, too many of them, or a label where there is none.
    """
    if pages < MIN_PAGES:
        raise SwapError(EINVAL, f"a swap area needs at least {MIN_PAGES} pages of {PAGE_SIZE} bytes, this has {pages}")
    if version not in (1, 2):
        raise SwapError(EINVAL, f"swap header version {version}: it is 1 (SWAP-SPACE) or 2 (SWAPSPACE2)")
    if version == 1 and (label or uuid):
        raise SwapError(EINVAL, "a header of version 1 has neither label nor UUID")
    if len(label.encode()) > _LABEL_BYTES or len(uuid) not in (0, 16):
        raise SwapError(EINVAL, "a label has at most 16 bytes, a UUID has 16")
    slots = min(pages, V1_MAX_PAGES) if version == 1 else pages - 1
    found = sorted(set(bad))
    if any(not 0 < page < pages for page in found):
        raise SwapError(EINVAL, f"bad pages must lie in 1..{pages - 1}")
    inside = [page for page in found if page < slots]
    if version == 1:
        while inside and inside[-1] == slots - 1:  # an area ends with its last usable page
            slots = inside.pop()
    elif len(inside) > MAX_BAD_PAGES:
        raise SwapError(EINVAL, f"{len(inside)} bad pages: a version-2 header has room for {MAX_BAD_PAGES}")
    header = SwapHeader(version, slots, tuple(inside), label, uuid or bytes(16))
    if header.usable <= 0:
        raise SwapError(EINVAL, "no usable page is left")
    return header


def encode(header: SwapHeader) -> bytes:
    """The page of PAGE_SIZE bytes that holds `header`."""
    page = bytearray(PAGE_SIZE)
    if header.version == 1:
        bad = set(header.bad)
        for slot in range(1, header.slots):
            if slot not in bad:
                page[slot >> 3] |= 1 << (slot & 7)
        page[_SIGNATURE_START:] = V1_SIGNATURE
        return bytes(page)
    _V2.pack_into(page, _V2_START, 1, header.slots, len(header.bad), header.uuid, header.label.encode())
    struct.pack_into(f"<{len(header.bad)}I", page, _BAD_PAGES_START, *header.bad)
    page[_SIGNATURE_START:] = V2_SIGNATURE
    return bytes(page)


def decode(page: bytes) -> SwapHeader:
    """What sys_swapon reads from an area's first page.

    Raises
    ------
    SwapError
        EINVAL, for every reason the kernel has: no signature, an unknown version, bad pages that are too many or not
        in the area, no usable page.
    """
    signature = bytes(page[_SIGNATURE_START:PAGE_SIZE])
    if signature == V1_SIGNATURE:
        return _decode_v1(page)
    if signature == V2_SIGNATURE:
        return _decode_v2(page)
    raise SwapError(EINVAL, "no swap-space signature found: it is not a swap area, or mkswap was not run on it")


def _decode_v1(page: bytes) -> SwapHeader:
    usable = [slot for slot in range(1, V1_MAX_PAGES) if page[slot >> 3] >> (slot & 7) & 1]
    if not usable:
        raise SwapError(EINVAL, "empty swap area: the bitmap of its header has no usable page")
    slots = usable[-1] + 1
    return SwapHeader(1, slots, tuple(sorted(set(range(1, slots)) - set(usable))))


def _decode_v2(page: bytes) -> SwapHeader:
    version, last_page, nr_bad, uuid, label = _V2.unpack_from(page, _V2_START)
    if version != 1:
        raise SwapError(
            EINVAL, f"swap header of version 2 says version {version}; only 1 is known (or it is big-endian)"
        )
    slots = min(last_page, V2_MAX_SLOTS)
    if nr_bad > MAX_BAD_PAGES:
        raise SwapError(EINVAL, f"the header names {nr_bad} bad pages; at most {MAX_BAD_PAGES} fit")
    bad = struct.unpack_from(f"<{nr_bad}I", page, _BAD_PAGES_START)
    if any(not 0 < slot < last_page for slot in bad):
        raise SwapError(EINVAL, f"the header names a bad page outside 1..{last_page - 1}")
    header = SwapHeader(2, slots, tuple(sorted(set(bad))), label.split(b"\0")[0].decode(errors="replace"), uuid)
    if header.usable <= 0:
        raise SwapError(EINVAL, "empty swap area: its header leaves no usable page")
    return header
