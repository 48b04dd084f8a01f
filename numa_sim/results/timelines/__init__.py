"""A run's timeline in other tools' formats, all made from the spans stored in ``spans.parquet``.

| module | what it writes |
|---|---|
| `tracks` | tracks with slices, instants and counters: what the viewers' formats have in common |
| `perfetto` | a Perfetto trace, protobuf; `protobuf` knows its wire format |
| `chrome` | Chrome's trace events, JSON |
| `ftrace` | lines of text as ftrace prints them, with the kernel's names of tracepoints |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from numa_sim.errors import ConfigError

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["FORMATS", "exported"]

FORMATS: Final = {"perfetto": "trace.pftrace", "chrome": "trace.json", "ftrace": "trace.txt"}
"""What a timeline can be exported as, and what the file is called by default."""


def exported(run: Run, form: str) -> bytes:
    """The timeline of a run in one of `FORMATS`; the same run gives the same bytes.

    Raises
    ------
    RunFolderError
        If the run recorded no timeline.
    ConfigError
        If there is no such format.
    """
    if form == "perfetto":
        from numa_sim.results.timelines.perfetto import perfetto_trace

        return perfetto_trace(run)
    if form == "chrome":
        from numa_sim.results.timelines.chrome import chrome_trace

        return chrome_trace(run)
    if form == "ftrace":
        from numa_sim.results.timelines.ftrace import ftrace_text

        return ftrace_text(run).encode()
    raise ConfigError("export", "format", f"there is no format {form!r}", tuple(FORMATS))
