"""The YAML files people write: read with line numbers, checked against a schema, mistakes told in words.

Only whole numbers, decimals, true, false and null are anything but text: ``20:00`` is no number of base 60, and ``no``
is a word. Anchors are refused, and so is a key that is written twice.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from retention.core.errors import InputError

Where = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A YAML file as plain values, with the line of every key and item."""

    file: Path
    content: Any
    lines: Mapping[Where, int]

    def error(self, where: Where, message: str) -> InputError:
        """An InputError that names the file and the line of `where`, or of the nearest place around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return InputError(f"{self.file}, line {self.lines.get(where, 1)}: {message}")

    def check(self, schema: Mapping[str, Any]) -> None:
        """Hold the content against a JSON schema. Raises InputError for the first mistake, saying what to write.

        What to write stands in the schema as `write`, else as `description`.
        """
        errors = Draft202012Validator(schema).iter_errors(self.content)
        found = [self._explain(error) for error in errors]
        if found:
            raise min(found, key=lambda each: each[0])[1]

    def _explain(self, error: ValidationError) -> tuple[tuple[bool, int], InputError]:
        """The error in our words, and its rank: a misspelt key before the one that is missing for it, then by line."""
        while error.validator == "anyOf" and isinstance(error.instance, dict | list):
            # Of several forms, the mistake is in the one of this kind: a mapping or a list.
            alike = [each for each in error.context if each.absolute_path != error.absolute_path or _is_inside(each)]
            if not alike:
                break
            error = alike[0]
        schema: Any = error.schema
        written: Any = error.instance
        where: Where = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            key = next(each for each in written if each not in schema["properties"])
            message = f"unknown key {key!r}.{nearest(key, sorted(schema['properties']))}"
            where = (*where, key)
        elif error.validator == "required":
            key = next(each for each in schema["required"] if each not in written)
            about = schema["properties"][key]
            message = f"the key {key!r} is missing: {about.get('description') or _hint(about)}"
        elif error.parent is not None and error.parent.validator == "propertyNames":
            message = f"{written!r} cannot be a key; write {_hint(schema)}."
        else:
            key = next((str(each) for each in reversed(where) if isinstance(each, str)), "the file")
            message = f"{key} is {shown(written)}; write {_hint(schema)}."
        place = where
        while place and place not in self.lines:
            place = place[:-1]
        return (error.validator == "required", self.lines.get(place, 1)), self.error(where, message)


def _is_inside(error: ValidationError) -> bool:
    """Whether a form was the right kind, and something in it is wrong."""
    return error.validator not in ("type", "enum")


def shown(value: Any) -> str:
    """A value as a message shows it: shortened, and quoted as in JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(word: str, known: Sequence[str]) -> str:
    """A sentence that helps who misspelt `word`: the one that was meant, else all that are known."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Known are {', '.join(known)}." if known else ""


def _hint(schema: Mapping[str, Any]) -> str:
    if "enum" in schema and "write" not in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    return str(schema.get("write") or schema.get("description", "something else"))


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed; write it out", problem_mark=mark)
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(0|[1-9][0-9]*)$"), list("-0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+\.[0-9]+$"), list("-0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(null|~|)$"), ["n", "~", ""])


def read(file: Path) -> Document:
    """Read one document. Raises InputError, naming file and line, where it cannot be opened or is no proper YAML."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as problem:
        raise InputError(f"There is no file {file}.") from problem
    except OSError as problem:
        raise InputError(f"{file} cannot be read: {problem.strerror}.") from problem
    except UnicodeDecodeError as problem:
        raise InputError(f"{file} is not UTF-8 (byte {problem.start}); save it as UTF-8.") from problem
    try:
        content, lines = _parsed(text)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise InputError(
            f"{file}, line {mark.line + 1 if mark else 1}: {problem.problem or problem.context}."
        ) from problem
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise InputError(f"{file} cannot be read as YAML: {str(problem)[:200]}") from problem
    return Document(file=file, content=deepcopy(content), lines=lines)


@lru_cache(maxsize=256)  # a day asks for each file a dozen times
def _parsed(text: str) -> tuple[Any, Mapping[Where, int]]:
    loader = _Loader(text)
    node = loader.get_single_node()
    lines: dict[Where, int] = {}
    return None if node is None else _value(loader, node, (), lines), lines


def _value(loader: _Loader, node: yaml.Node, where: Where, lines: dict[Where, int]) -> Any:
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key in mapping:
                problem = (
                    "a key must be a word" if key is None else f"the key {key!r} is written twice; keep one of them"
                )
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            lines[(*where, key)] = key_node.start_mark.line + 1
            mapping[key] = _value(loader, value_node, (*where, key), lines)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, each, (*where, number), lines) for number, each in enumerate(node.value)]
    value = loader.construct_object(node)
    if isinstance(value, str) and _NO_TEXT.search(value):
        problem = "it has a sign that no database keeps, like \\0 or half an emoji; write the sign itself"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return value
