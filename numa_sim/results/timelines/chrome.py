"""A timeline as Chrome's trace events: JSON that chrome://tracing, ui.perfetto.dev and speedscope read.

Groups of tracks are its processes, tracks its threads.  Times are microseconds with three decimals, so exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numa_sim.results.timelines.tracks import GROUPS, Instant, Slice, Track, tracks_of

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["chrome_trace"]

_Event = dict[str, Any]


def chrome_trace(run: Run) -> bytes:
    """The timeline of a run as a JSON object with ``traceEvents``, one event a line.

    Raises
    ------
    RunFolderError
        If the run recorded no timeline.
    """
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in _events(tracks_of(run)))
    return f'{{"displayTimeUnit":"ns","traceEvents":[\n{lines}\n]}}\n'.encode()


def _events(tracks: list[Track]) -> Iterator[_Event]:
    for group, name in enumerate(GROUPS):
        yield {"ph": "M", "name": "process_name", "pid": group + 1, "tid": 0, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": group + 1, "tid": 0, "args": {"sort_index": group}}
    reached: set[int] = set()
    last: dict[int, tuple[int, _Event]] = {}
    for thread, track in enumerate(tracks, 1):
        where = {"pid": track.group + 1, "tid": thread}
        yield {"ph": "M", "name": "thread_name", **where, "args": {"name": track.name}}
        yield {"ph": "M", "name": "thread_sort_index", **where, "args": {"sort_index": thread}}
        for one in track.slices:
            yield _slice(one, where)
            for flow in one.flows:
                # A request may have been begun before somebody waited for it: the flow then begins there.
                if flow not in last or one.begin_ns < last[flow][0]:
                    last[flow] = (one.begin_ns, _flow("s", flow, one.begin_ns, where))
                reached.add(flow)
        for happened in track.instants:
            yield _instant(happened, where)
        for t_ns, value in track.counter:
            yield {"ph": "C", "name": track.name, **where, "ts": _us(t_ns), "args": {track.unit: value}}
    yield from _flows(tracks, last)


def _flows(tracks: list[Track], first: dict[int, tuple[int, _Event]]) -> Iterator[_Event]:
    """Each flow from its first slice by way of the others to the instant that ends it."""
    for thread, track in enumerate(tracks, 1):
        where = {"pid": track.group + 1, "tid": thread}
        for one in track.slices:
            for flow in one.flows:
                start = first[flow][1]
                here = _flow("t", flow, one.begin_ns, where)
                yield start if start["ts"] == here["ts"] and start["tid"] == thread else here
        for happened in track.instants:
            if happened.ends in first:
                yield {**_flow("f", happened.ends, happened.t_ns, where), "bp": "e"}


def _us(t_ns: int) -> float | int:
    return t_ns // 1000 if t_ns % 1000 == 0 else t_ns / 1000


def _slice(one: Slice, where: _Event) -> _Event:
    event = {"ph": "X", "name": one.name, **where, "ts": _us(one.begin_ns), "dur": _us(one.end_ns - one.begin_ns)}
    return {**event, "args": dict(one.arguments)} if one.arguments else event


def _instant(one: Instant, where: _Event) -> _Event:
    event = {"ph": "i", "s": "t", "name": one.name, **where, "ts": _us(one.t_ns)}
    return {**event, "args": dict(one.arguments)} if one.arguments else event


def _flow(phase: str, flow: int, t_ns: int, where: _Event) -> _Event:
    return {"ph": phase, "id": flow, "cat": "io", "name": "page", **where, "ts": _us(t_ns)}
