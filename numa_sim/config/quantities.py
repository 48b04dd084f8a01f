"""Field types with units: a size, a time, a bandwidth, a list of CPUs, each written as text and kept as integers.

A file must name the unit (``"64GiB"``, ``"1.5us"``, ``"100GB/s"``): a bare number is refused there, because nobody can
tell bytes from pages.  Python code that builds a model itself may pass integers in the base unit (bytes, ns, bytes/s).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from numa_sim.topology.cpulist import format_list, parse_list
from numa_sim.units import (
    PAGE_BYTES,
    format_bandwidth,
    format_bytes,
    format_ns,
    parse_bandwidth,
    parse_bytes,
    parse_ns,
)

__all__ = [
    "MAX_CPUS",
    "PAGE_BYTES",
    "Bandwidth",
    "CpuList",
    "PositiveSize",
    "PositiveTime",
    "Section",
    "ShortTime",
    "Size",
    "Time",
    "refuse",
    "size",
    "time",
]

MAX_CPUS = 256
"""CPUs a simulated machine may have (width of ``mm.cpu_vm_mask``)."""
_HOUR_NS = 3_600_000_000_000

TIME = 'a time in ns, us, ms, s, min or h, like "1.5us"'
SIZE = 'a size in B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, like "512MiB"'
BANDWIDTH = 'a bandwidth in B/s, kB/s, MB/s, GB/s, TB/s or KiB/s to TiB/s, like "550MB/s"'
CPU_LIST = f'CPU numbers 0 to {MAX_CPUS - 1} and ranges of them, like "0-3,8"'


class Section(BaseModel):
    """A table of the configuration: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def refuse(message: str, allowed: tuple[str, ...] = (), at: str = "") -> PydanticCustomError:
    """Build the error of a value that pydantic itself cannot judge; `at` is the path below the checked table."""
    return PydanticCustomError("numa_sim", "{message}", {"message": message, "allowed": allowed, "at": at})


@dataclass(frozen=True)
class Quantity:
    """Annotation of an integer that a file writes as text with a unit.

    Parameters
    ----------
    parse, show : callable
        Text to base units and back.
    allowed : str
        What may be written, in words.
    low, high : int
        Range in base units.
    unit : str
        The base unit.
    """

    parse: Callable[[str], int]
    show: Callable[[int], str]
    allowed: str
    low: int
    high: int
    unit: str

    def check(self, value: object, info: ValidationInfo) -> int:
        """Return `value` in base units, or raise pydantic's error."""
        if isinstance(value, str):
            try:
                number = self.parse(value)
            except ValueError as problem:
                raise refuse(str(problem).split(" (allowed")[0], (self.allowed,)) from None
        elif type(value) is int and not info.context:
            number = value
        else:
            raise refuse(f"{str(value)[:40]} is not {self.allowed.split(' in ')[0]} with its unit", (self.allowed,))
        if not self.low <= number <= self.high:
            raise refuse(f"{value} is out of range", (f"{self.show(self.low)} to {self.show(self.high)}",))
        return number

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> core_schema.CoreSchema:
        text = core_schema.plain_serializer_function_ser_schema(
            self.show, return_schema=core_schema.str_schema(), when_used="json"
        )
        return core_schema.with_info_plain_validator_function(self.check, serialization=text)

    def __get_pydantic_json_schema__(self, _schema: object, _handler: object) -> dict[str, Any]:
        values = f"{self.allowed}; {self.show(self.low)} to {self.show(self.high)}"
        return {"type": "string", "x-values": values, "x-unit": self.unit}


def time(low: int = 0, high: int = 1000 * _HOUR_NS) -> Quantity:
    """Annotation of a time between `low` and `high` ns."""
    return Quantity(parse_ns, format_ns, TIME, low, high, "ns")


def size(low: int, high: int) -> Quantity:
    """Annotation of a size between `low` and `high` bytes."""
    return Quantity(parse_bytes, format_bytes, SIZE, low, high, "B")


def bandwidth(low: int = 1_000_000, high: int = 10_000_000_000_000) -> Quantity:
    """Annotation of a bandwidth between `low` and `high` bytes per second."""
    return Quantity(parse_bandwidth, format_bandwidth, BANDWIDTH, low, high, "B/s")


Time = Annotated[int, time()]
"""A time of 0 or more, ns."""
PositiveTime = Annotated[int, time(low=1)]
ShortTime = Annotated[int, time(high=2_000_000_000)]
"""A time that fits the 32 bits of an access record, ns."""
Size = Annotated[int, size(0, 1 << 47)]
PositiveSize = Annotated[int, size(1, 1 << 47)]
Bandwidth = Annotated[int, bandwidth()]


def _check_cpus(value: object, info: ValidationInfo) -> tuple[int, ...]:
    if type(value) is int:
        value = str(value)
    elif isinstance(value, tuple | list) and not info.context:
        value = ",".join(str(cpu) for cpu in value)
    if not isinstance(value, str):
        raise refuse(f"{value!r} is not a list of CPUs", (CPU_LIST,))
    try:
        cpus = parse_list(value)
    except ValueError as problem:
        raise refuse(str(problem), (CPU_LIST,)) from None
    if cpus and cpus[-1] >= MAX_CPUS:
        raise refuse(f"CPU {cpus[-1]} is above {MAX_CPUS - 1}", (CPU_LIST,))
    return cpus


CpuList = Annotated[
    tuple[int, ...],
    BeforeValidator(_check_cpus),
    Field(strict=False),
    PlainSerializer(format_list, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "x-values": CPU_LIST}),
]
"""CPUs as the kernel writes them; the empty text is no CPU."""
