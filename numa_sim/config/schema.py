"""JSON Schema of a configuration, and what it says about one place of a document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

from numa_sim.config.model import Config

Node = dict[str, Any]
Path = Sequence[str | int]


class _Generator(GenerateJsonSchema):
    """Writes defaults as a file would: ``"10us"``, not the integer kept inside."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        written = super().default_schema(schema)
        written.pop("default", None)  # put back, in the file's own words, by `_add_defaults`
        return written


def _add_defaults(schema: Node) -> None:
    """Give each optional property its default, from an instance of the section that has it."""
    for section in sections(Config):
        properties = (schema if section is Config else schema["$defs"][section.__name__])["properties"]
        for name, field in section.model_fields.items():
            if not field.is_required():
                properties[field.alias or name]["default"] = _written_default(section, name, field)


def _written_default(section: Any, name: str, field: FieldInfo) -> Any:
    bare = section.model_construct(**{name: field.get_default(call_default_factory=True)})
    dumped = bare.model_dump(mode="json", by_alias=True, include={name}, warnings=False)
    return to_jsonable_python(dumped[field.alias or name])


def sections(root: Any) -> list[Any]:
    """Every model reachable from `root`, itself first."""
    found: list[Any] = []

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in found:
            found.append(annotation)
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for argument in getattr(annotation, "__args__", ()):
            visit(argument)

    visit(root)
    return found


@cache
def json_schema() -> Node:
    """JSON Schema (2020-12) of a configuration file, for editors and for messages; do not change it."""
    schema = Config.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    _add_defaults(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "numa_sim configuration"}


def _settle(node: Node, value: object) -> Node:
    """Follow references, drop "or null", and pick the variant that `value` names."""
    while True:
        if "$ref" in node:
            node = json_schema()["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        elif "anyOf" in node:
            options = [option for option in node["anyOf"] if option.get("type") != "null"]
            node = options[-1] if isinstance(value, dict) else options[0]  # a number or, written out, a table
        elif "allOf" in node and len(node["allOf"]) == 1:
            node = node["allOf"][0]
        elif "discriminator" in node and isinstance(value, dict):
            tag = value.get(node["discriminator"]["propertyName"])
            mapping = node["discriminator"]["mapping"]
            if not isinstance(tag, str) or tag not in mapping:
                return node
            node = {"$ref": mapping[tag]}
        else:
            return node


def node_at(path: Path, document: object) -> Node | None:
    """Part of the schema that rules `path` of `document`, or None where the schema has nothing."""
    node, value = _settle(json_schema(), document), document
    for part in path:
        if isinstance(part, int):
            prefix = node.get("prefixItems", ())
            following = prefix[part] if part < len(prefix) else node.get("items")
        else:
            following = node.get("properties", {}).get(part, node.get("additionalProperties"))
        if not isinstance(following, dict):
            return None
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list):
            value = value[part] if isinstance(part, int) and part < len(value) else None
        else:
            value = None
        node = _settle(following, value)
    return node


def allowed_values(node: Node | None) -> tuple[str, ...]:
    """What may stand where `node` rules, in words and values."""
    if node is None:
        return ()
    node = _settle(node, None)
    if "x-values" in node:
        return (str(node["x-values"]),)
    if "enum" in node:
        return tuple(str(value) for value in node["enum"])
    if "const" in node:
        return (str(node["const"]),)
    if "discriminator" in node:
        return (
            f"a table with {node['discriminator']['propertyName']} = {' | '.join(node['discriminator']['mapping'])}",
        )
    describe = _DESCRIBE.get(node.get("type", ""))
    return describe(node) if describe else ()


def _describe_number(node: Node) -> tuple[str, ...]:
    kind = "an integer" if node["type"] == "integer" else "a number"
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    above = "above " if "exclusiveMinimum" in node else ""
    below = "below " if "exclusiveMaximum" in node else ""
    return (f"{kind}, {above}{low} to {below}{high}",)


def _describe_text(node: Node) -> tuple[str, ...]:
    if "pattern" in node:
        return (f"{node.get('description', 'a text')} (pattern {node['pattern']})",)
    length = f" of {node.get('minLength', 0)} to {node['maxLength']} characters" if "maxLength" in node else ""
    return (f"a text{length}",)


def _describe_list(node: Node) -> tuple[str, ...]:
    item = node.get("items") or next(iter(node.get("prefixItems", ())), None)
    number = f" of {node['minItems']}" if node.get("minItems") and node.get("minItems") == node.get("maxItems") else ""
    return (f"a list{number}, each {' or '.join(allowed_values(item))}",)


def _describe_table(node: Node) -> tuple[str, ...]:
    return (f"a table with keys {', '.join(node.get('properties', ()))}",)


_DESCRIBE: dict[str, Callable[[Node], tuple[str, ...]]] = {
    "boolean": lambda _: ("true", "false"),
    "integer": _describe_number,
    "number": _describe_number,
    "string": _describe_text,
    "array": _describe_list,
    "object": _describe_table,
}
