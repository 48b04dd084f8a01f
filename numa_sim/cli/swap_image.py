"""``numa-sim mkswap``: write the header of a swap area to a file."""

from __future__ import annotations

from pathlib import Path

from numa_sim.errors import ConfigError, SwapError
from numa_sim.results.readable import readable_bytes
from numa_sim.units import PAGE_BYTES, parse_bytes


def make_swap(file: Path, size: str | None, version: int, bad: str, label: str, *, force: bool) -> str:
    """Make `file` a swap area of `size` (else as long as it is) and describe it.

    The file gets its length without blocks for it, but for its first page.

    Raises
    ------
    NumaSimError
        A size that is none, a file that exists (without `force`), or whatever a header cannot say.
    """
    from numa_sim.kernel.swap_header import encode, for_area
    from numa_sim.topology.cpulist import parse_list

    size_bytes = _size(file, size, force)
    try:
        bad_pages = parse_list(bad)
    except ValueError as problem:
        raise ConfigError("mkswap", "--bad", str(problem), ('page numbers and ranges, like "3,7-9"',)) from None
    try:
        header = for_area(size_bytes // PAGE_BYTES, version, bad_pages, label)
    except SwapError as problem:
        raise ConfigError("mkswap", str(file), problem.message) from None
    try:
        with file.open("r+b" if file.exists() else "xb") as image:
            image.write(encode(header))
            image.truncate(size_bytes)
    except OSError as problem:
        raise ConfigError("mkswap", str(file), f"cannot write: {problem.strerror}") from None
    usable = readable_bytes(header.usable * PAGE_BYTES)
    return f"{file}: swap header version {version}, {header.usable} usable pages ({usable}), {len(header.bad)} bad"


def _size(file: Path, size: str | None, force: bool) -> int:
    """Length of the area in bytes."""
    if file.exists():
        if not file.is_file():
            raise ConfigError("mkswap", str(file), "is not a regular file")
        if not force:
            raise ConfigError("mkswap", str(file), "exists already", ("another name, or --force",))
        if size is None:
            return file.stat().st_size
    if size is None:
        raise ConfigError("mkswap", "--size", "missing for a new file", ('a size like "64MiB"',))
    try:
        return parse_bytes(size)
    except ValueError as problem:
        raise ConfigError("mkswap", "--size", str(problem)) from None
