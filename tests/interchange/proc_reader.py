"""Readers of /proc and /sys as strict as those of prometheus/procfs and node_exporter, from what those accept.

Each raises ValueError, KeyError or IndexError where the Go one answers with an error.  They know nothing of numa_sim.

* meminfo: every line has a name with a colon and an unsigned number; whatever follows is ignored.
* node meminfo: "Node", the node's number, a name with a colon, a number, and "kB" or nothing; nothing else.
* vmstat, numastat: exactly two words a line.
* zoneinfo: blocks that begin with "Node N, zone NAME"; words behind known names; ``protection: (a, b)``.
* buddyinfo: "Node N, zone NAME" and as many numbers on each line as on the first.
* swaps: a header, then at least five words: two of text, three whole numbers.
* slabinfo 2.1: sixteen words a line but for the two of the header.
* maps: at least five words: two hexadecimal addresses, four permissions, an offset, major:minor, an inode; a name.
* smaps: lines of maps begin with a lower-case hexadecimal digit; other lines are a name, a colon, a number in kB.
* status: "name:<tab>value"; Uid and Gid are four numbers with tabs between them.
* stat: words behind the last parenthesis, 50 of them.
"""

import re
from typing import Any


def unsigned(text: str) -> int:
    if not re.fullmatch(r"\d+", text):
        raise ValueError(text)
    return int(text)


def meminfo(text: str) -> dict[str, int]:
    rows = {}
    for line in text.splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            raise ValueError(line)
        rows[words[0][:-1]] = unsigned(words[1])
    return rows


def node_meminfo(text: str) -> tuple[int, dict[str, int]]:
    rows: dict[str, int] = {}
    nodes = set()
    for line in text.splitlines():
        word, node, name, value, *unit = line.split()
        if word != "Node" or not name.endswith(":") or unit not in ([], ["kB"]):
            raise ValueError(line)
        nodes.add(unsigned(node))
        rows[name[:-1]] = unsigned(value)
    (only,) = nodes
    return only, rows


def pairs(text: str) -> dict[str, int]:
    rows = {}
    for line in text.splitlines():
        name, value = line.split()
        rows[name] = unsigned(value)
    return rows


def zoneinfo(text: str) -> list[dict[str, Any]]:
    zones = []
    for block in text.split("\nNode"):
        zone: dict[str, Any] = {}
        for line in block.splitlines():
            if head := re.search(r"(\d+), zone\s+(\w+)", line):
                zone["node"], zone["zone"] = int(head[1]), head[2]
                continue
            words = line.split()
            if len(words) < 2 or line.strip().startswith("per-node stats"):
                continue
            if words[0] in ("nr_free_pages", "min", "low", "high", "spanned", "present", "managed"):
                zone.setdefault(words[0], unsigned(words[1]))
            elif words[0] == "protection:":
                zone["protection"] = [unsigned(n) for n in line.split(":")[1].strip(" ()").split(", ")]
        zones.append(zone)
    return zones


def buddyinfo(text: str) -> dict[tuple[int, str], list[int]]:
    found = {}
    for line in text.splitlines():
        words = line.split()
        if words[0] != "Node" or words[2] != "zone":
            raise ValueError(line)
        found[unsigned(words[1].rstrip(",")), words[3]] = [unsigned(n) for n in words[4:]]
    if len({len(counts) for counts in found.values()}) > 1:
        raise ValueError("orders differ")
    return found


def swaps(text: str) -> list[tuple[str, str, int, int, int]]:
    found = []
    for line in text.splitlines()[1:]:
        name, kind, size, used, priority = line.split()[:5]
        found.append((name, kind, unsigned(size), unsigned(used), int(priority)))
    return found


def slabinfo(text: str) -> dict[str, dict[str, int]]:
    found = {}
    for line in text.splitlines():
        if "slabinfo -" in line or "# name" in line:
            continue
        words = re.sub(r"\s+", " ", line).split(" ")
        if len(words) != 16:
            raise ValueError(line)
        at = {"active": 1, "objects": 2, "size": 3, "per_slab": 4, "pages": 5, "used_slabs": 13, "slabs": 14}
        found[words[0]] = {name: unsigned(words[i]) for name, i in at.items()}
    return found


def map_line(line: str) -> dict[str, Any]:
    addresses, permissions, offset, device, inode, *name = line.split()
    start, end = (int(part, 16) for part in addresses.split("-"))
    major, minor = (int(part, 16) for part in device.split(":"))
    if len(permissions) != 4:
        raise ValueError(line)
    return {
        "start": start, "end": end, "permissions": permissions, "offset": int(offset, 16), "device": (major, minor),
        "inode": unsigned(inode), "name": " ".join(name),
    }  # fmt: skip


def smaps(text: str) -> list[dict[str, Any]]:
    areas: list[dict[str, Any]] = []
    for line in text.splitlines():
        if line[0] in "0123456789abcdef":
            areas.append(map_line(line))
            continue
        name, value = line.split(":", 1)
        areas[-1][name] = value.strip() if name == "VmFlags" else unsigned(value.strip().removesuffix(" kB"))
    return areas


def status(text: str) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for line in text.splitlines():
        name, value = line.split(":", 1)
        value = value.strip().removesuffix(" kB")
        if name in ("Uid", "Gid"):
            rows[name] = [unsigned(part) for part in value.split("\t")]
        else:
            rows[name] = int(value) if value.isdigit() else value
    return rows


def stat(text: str) -> dict[str, Any]:
    words = text[text.rindex(")") + 2 :].split()
    if len(words) != 50:
        raise ValueError(f"{len(words)} words")
    at = {"ppid": 1, "min_flt": 7, "maj_flt": 9, "utime": 11, "stime": 12, "nice": 16, "threads": 17, "start": 19,
          "vsize": 20, "rss": 21, "processor": 36}  # fmt: skip
    name = text[text.index("(") + 1 : text.rindex(")")]
    return {"pid": int(text.split()[0]), "name": name, "state": words[0], **{n: int(words[i]) for n, i in at.items()}}
