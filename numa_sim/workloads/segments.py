"""What programs of an i386 do with segments: modify_ldt, loading a segment register."""

from __future__ import annotations

from dataclasses import dataclass

from numa_sim.errors import ConfigError
from numa_sim.state.constants import PAGE_SIZE
from numa_sim.units import check_bytes, parse_bytes

LDT_ENTRIES = 8192
_LINEAR_BYTES = 1 << 32


@dataclass(frozen=True, slots=True)
class ModifyLdt:
    """modify_ldt(2): entry `entry` of the task's LDT becomes a data segment; answered with its selector."""

    entry: int
    base: int
    size: int
    writable: bool


@dataclass(frozen=True, slots=True)
class LoadSegment:
    """Load DS, through which the task's further accesses go."""

    selector: int


class SegmentCalls:
    """The part of a task's handle that is about segments; ``machine.segments = true`` provides them."""

    name: str

    def modify_ldt(self, entry: int, base: int | str, size: int | str, *, writable: bool = True) -> ModifyLdt:
        """Make an entry of this task's own descriptor table; ``yield`` gives the selector of it.

        The program gets an `OSError`, ENOSYS, if the machine has no segments.

        Parameters
        ----------
        entry : int
            Which entry, 0 to 8191.
        base, size : int or text
            First linear address, a multiple of the page size, and bytes.
        writable : bool
            False: stores through the segment fault.
        """
        if not (type(entry) is int and 0 <= entry < LDT_ENTRIES):
            raise ConfigError("", f"{self.name}: modify_ldt.entry", f"got {entry!r}", (f"0 to {LDT_ENTRIES - 1}",))
        first = _bytes(self.name, "base", base, 0)
        if first % PAGE_SIZE:
            allowed = (f"multiples of {PAGE_SIZE}",)
            raise ConfigError("", f"{self.name}: modify_ldt.base", f"{first} is not the start of a page", allowed)
        return ModifyLdt(entry, first, _bytes(self.name, "size", size, 1), bool(writable))

    def load_segment(self, selector: int) -> LoadSegment:
        """Go on in the segment `selector` names; regions a program touches are then offsets in that segment.

        ``0x2b`` is the flat user segment every program starts with.  A selector of a segment there is not, or of a
        more privileged one, is SIGSEGV.
        """
        if not (type(selector) is int and 0 <= selector <= 0xFFFF):
            raise ConfigError("", f"{self.name}: load_segment.selector", f"got {selector!r}", ("0x0 to 0xffff",))
        return LoadSegment(selector)


def _bytes(task: str, what: str, value: int | str, low: int) -> int:
    try:
        count = parse_bytes(value) if isinstance(value, str) else check_bytes(value, f"modify_ldt.{what}")
    except (TypeError, ValueError) as error:
        raise ConfigError("", f"{task}: modify_ldt.{what}", str(error)) from error
    if not low <= count < _LINEAR_BYTES:
        allowed = (f"{low} to {_LINEAR_BYTES - 1}",)
        raise ConfigError("", f"{task}: modify_ldt.{what}", f"got {count}", allowed)
    return count
