"""What the files of several rooms say alike, as types: names, shares, addresses; and the JSON schema of such a type.

`write` says, in our error messages, what to write instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Name = Annotated[
    str,
    Field(
        pattern="^[a-z][a-z0-9_]{0,39}$",
        json_schema_extra={"write": "a name of small letters, digits and _, beginning with a letter, at most 40 long"},
    ),
]
Share = Annotated[
    str,
    Field(
        pattern="^(100|[0-9]{1,2}([.][0-9]{1,3})?)%$",
        json_schema_extra={"write": "a share like '10%'"},
    ),
]
Address = Annotated[
    str,
    Field(
        pattern=r"^[^@\s]+@[^@\s]+$",
        json_schema_extra={"write": "the address of who answers for it, like crm@shop.example"},
    ),
]


class Part(BaseModel):
    """A mapping of a file: it has these keys and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def schema(model: type[BaseModel], write: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON schema of a file; without references, so that each place says all that is known of it.

    `write`: what to write in the place of an item, by its type, for those without a description of their own.
    """
    made = model.model_json_schema()
    hints = write or {}
    parts = {
        name: part | ({"write": hints[name]} if name in hints else {}) for name, part in made.get("$defs", {}).items()
    }

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            part = parts[node["$ref"].rpartition("/")[2]]
            return inlined({**part, **{key: value for key, value in node.items() if key != "$ref"}})
        if len(choices := [each for each in node.get("anyOf", ()) if each != {"type": "null"}]) == 1:
            return inlined({**choices[0], **{k: v for k, v in node.items() if k not in ("anyOf", "default")}})
        if "patternProperties" in node:  # so that a key of another pattern is refused
            [(pattern, part)] = node["patternProperties"].items()
            keys = {**node.get("propertyNames", {}), "pattern": pattern}
            others = {key: value for key, value in node.items() if key != "patternProperties"}
            return inlined({**others, "additionalProperties": part, "propertyNames": keys})
        # Its titles say what the key says.
        return {key: inlined(value) for key, value in node.items() if key not in ("$defs", "title")}

    return {"$schema": DIALECT, **inlined(made)}
