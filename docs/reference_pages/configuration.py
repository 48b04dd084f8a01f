"""The pages of the configuration, from its JSON Schema: every key, what may stand there, its default, what it means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from numa_sim.config.quantities import BANDWIDTH, CPU_LIST, SIZE, TIME
from numa_sim.config.schema import allowed_values, json_schema

Node = dict[str, Any]

_UNITS = {TIME: "time", SIZE: "size", BANDWIDTH: "bandwidth", CPU_LIST: "CPU list"}
_HEAD = f"""# Configuration

A configuration is one TOML file (or JSON of the same shape).  Unknown keys, wrong types and quantities without a unit
are refused, with the path of the key and what is allowed there.  `numa-sim show config CONFIG` prints it with every
default filled in, as it is also stored with each run; `numa-sim show schema` prints the JSON Schema these pages are
made from, for editors. Any value can be changed from the command line: `--set kernel.profile=linux-2.2`, `--set
machine.swap.0.size=1GiB`.

| table | what it says |
|---|---|
TABLES

Outside of all tables may stand:

KEYS

## Quantities

{{#units}}
* **time**: {TIME}.
* **size**: {SIZE}; whole bytes.
* **bandwidth**: {BANDWIDTH}.
* **CPU list**: {CPU_LIST}.

A bare number is refused where a unit is needed, and so is a bare `K`, `M` or `G`: nobody can tell 1000 from 1024, or
bytes from pages.

```{{toctree}}
:hidden:

NAMES
```
"""


@dataclass
class Section:
    """One table of the configuration: its heading, what it means, its keys, and the variants it comes in."""

    title: str
    text: str
    properties: dict[str, Node]
    required: tuple[str, ...]
    variants: list[Section] = field(default_factory=list)
    anchor: str = ""


def config_pages() -> dict[str, str]:
    """All pages: ``config.md``, which has the keys outside of tables and leads to one page for each top-level table.

    Raises
    ------
    ValueError
        A table or key has no description.
    """
    schema = json_schema()
    pages, rows, keys = {}, [], []
    for name, node in schema["properties"].items():
        sections = list(reachable(name, node))
        if not sections:
            keys.append(entry(Section("the file", "", schema["properties"], ()), name, node))
            continue
        page = f"config-{name}.md"
        pages[page] = "\n".join((f"# {heading(name, node)}\n", *(written(section, top=n == 0)
                                                                  for n, section in enumerate(sections))))  # fmt: skip
        rows.append(f"| [`{heading(name, node)}`]({page}) | {meaning(sections[0])} |")
    names = "\n".join(page.removesuffix(".md") for page in pages)
    head = _HEAD.replace("TABLES", "\n".join(rows)).replace("KEYS", "\n".join(keys)).replace("NAMES", names)
    return {"config.md": head, **pages}


def meaning(section: Section) -> str:
    """First sentence of what a table means, without its own name."""
    first = section.text.split("\n\n")[0].replace("\n", " ")
    return first.split("``: ")[-1] if "``: " in first else first


def heading(path: str, node: Node) -> str:
    """How the table is written in TOML: ``[path]``, or ``[[path]]`` where there are many."""
    return f"[[{path}]]" if settled(node).get("type") == "array" else f"[{path}]"


def settled(node: Node) -> Node:
    """Without "or null"."""
    return next((option for option in node.get("anyOf", ()) if option.get("type") != "null"), node)


def reachable(path: str, node: Node) -> Iterator[Section]:
    """The table at `path` and every table below it, each once, parents first."""
    queue, seen = [(path, node)], set[str]()
    while queue:
        here, inner = queue.pop(0)
        refs = references(inner)
        if not refs or refs[0] in seen:
            continue
        seen.update(refs)
        section = gathered(here, inner, refs)
        yield section
        for part in (section, *section.variants):
            for key, value in part.properties.items():
                queue.append((f"{here}.{key}" if "." not in key else f'{here}."{key}"', value))


def references(node: Node) -> tuple[str, ...]:
    """Names of the tables that may stand at a place: none, one, or the variants."""
    node = next((option for option in node.get("anyOf", ()) if "$ref" in option), settled(node))
    if isinstance(node.get("additionalProperties"), dict):
        node = node["additionalProperties"]
    while node.get("type") == "array" and "items" in node:
        node = settled(node["items"])
    if "$ref" in node:
        return (node["$ref"].rsplit("/", 1)[-1],)
    if "discriminator" in node:
        return tuple(ref.rsplit("/", 1)[-1] for ref in node["discriminator"]["mapping"].values())
    return ()


def gathered(path: str, node: Node, refs: tuple[str, ...]) -> Section:
    """The section of one place; what all variants share stands in it, the rest in theirs."""
    defs = json_schema()["$defs"]
    if len(refs) == 1:
        return of_table(heading(path, node), refs[0], defs[refs[0]])
    tables = [defs[ref] for ref in refs]
    shared = {
        key: value
        for key, value in tables[0]["properties"].items()
        if all(table["properties"].get(key) == value for table in tables)
    }
    tag = next(key for key, value in tables[0]["properties"].items() if "const" in value)
    variants = []
    for ref, table in zip(refs, tables, strict=True):
        own = {key: value for key, value in table["properties"].items() if key not in shared and "const" not in value}
        word = table["properties"][tag]["const"]
        variants.append(of_table(f'{tag} = "{word}"', ref, {**table, "properties": own}))
        variants[-1].anchor = f"{path}-{word}".replace(".", "-")
    words = [table["properties"][tag]["const"] for table in tables]
    choices = ", ".join(f"[`{word}`](#{part.anchor})" for word, part in zip(words, variants, strict=True))
    text = f"{description_of(path, node)}Each is one of these, by its `{tag}`: {choices}."
    required = tuple(key for key in shared if key in tables[0].get("required", ()))
    return Section(heading(path, node), text, shared, required, variants)


def description_of(path: str, node: Node) -> str:
    """What a key says of the tables that stand there, as a sentence."""
    text = node.get("description", "")
    if not text:
        raise ValueError(f"{path} has no description")
    return text[0].upper() + text[1:] + ".  "


def of_table(title: str, name: str, table: Node) -> Section:
    """The section of one table of the schema."""
    if not table.get("description"):
        raise ValueError(f"table {name} has no description")
    return Section(title, table["description"], table["properties"], tuple(table.get("required", ())))


def written(section: Section, *, top: bool) -> str:
    """Markdown of one section."""
    parts = [section.text, ""] if top else [f"## `{section.title}`", "", section.text, ""]
    parts += [entry(section, key, node) for key, node in section.properties.items()]
    for variant in section.variants:
        parts += [f"({variant.anchor})=", f"### `{variant.title}`", "", variant.text, ""]
        parts += [entry(variant, key, node) for key, node in variant.properties.items()]
    return "\n".join(parts)


def entry(section: Section, key: str, node: Node) -> str:
    """One key as an item of a definition list: what may stand there, the default, what it means.

    Raises
    ------
    ValueError
        The schema does not say what it means.
    """
    text = node.get("description")
    if not text:
        if len(references(node)) != 1:
            raise ValueError(f"{section.title} {key} has no description")
        text = "see below"
    need = "**required**, " if key in section.required else ""
    return f"`{key}` --- {need}{allowed(node)}{shown_default(key, section, node)}\n: {sentence(text, node)}\n"


def sentence(text: str, node: Node) -> str:
    """The description with a capital and a full stop; a value explained first (``true: ...``) keeps its letter."""
    first = text.split(" ")[0].strip(":;,")
    values = {str(value).lower() for value in (*settled(node).get("enum", ()), True, False)}
    capital = first.isalpha() and first.islower() and first not in values
    return (text[0].upper() + text[1:] if capital else text) + "." * (not text.endswith("."))


def shown_default(key: str, section: Section, node: Node) -> str:
    """The default, as a file would write it; nothing where there is none or it is empty."""
    value = node.get("default")
    if key in section.required or value is None or value == [] or isinstance(value, dict):
        return ""
    return f", default `{json.dumps(value)}`"


def allowed(node: Node, *, many: bool = False) -> str:
    """What may stand at a place, in few words; with `many`, what each element of a list is."""
    node = settled(node)
    if node.get("type") == "array" and "items" in node:
        number = f"{node['minItems']} " if node.get("minItems") and node["minItems"] == node.get("maxItems") else ""
        return f"{'lists' if many else 'list'} of {number}{allowed(node['items'], many=True)}"
    if "$ref" in node:
        return "tables" if many else "table"
    if "discriminator" in node:
        return f"tables, each with a `{node['discriminator']['propertyName']}`" if many else "table"
    if "x-values" in node:
        words, _, span = node["x-values"].rpartition("; ")
        word, span = (_UNITS[words], f", {span}") if words in _UNITS else (_UNITS.get(node["x-values"]), "")
        return f"{word}{'s' if many else ''}{span}" if word else node["x-values"]
    if "enum" in node:
        return " or ".join(f"`{json.dumps(value)}`" for value in node["enum"])
    if node.get("type") == "string":
        return f"text like `{node['pattern']}`" if "pattern" in node else ("texts" if many else "text")
    if node.get("type") == "boolean":
        return "`true` or `false`"
    words = " or ".join(allowed_values(node)) or str(node.get("type", "anything"))
    return words.replace("an integer", "integers").replace("a number", "numbers") if many else words
