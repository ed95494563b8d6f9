"""YAML with line numbers: what was written, and where each key and item stands.

Only whole numbers, decimals, true, false and null are anything but text: ``20:00`` is no number of base 60, and ``no``
is a word. Anchors are refused, and so is a key that is written twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from retention.errors import InputError

Where = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A YAML file as plain values, with the line of every key and item."""

    file: Path
    content: Any
    lines: dict[Where, int]

    def error(self, where: Where, message: str) -> InputError:
        """An InputError that names the file and the line of `where`, or of the nearest place around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return InputError(f"{self.file}, line {self.lines.get(where, 1)}: {message}")


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
    """Read one document. Raises InputError naming file and line when it is no proper YAML, or not UTF-8."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(f"{file} is not UTF-8 (byte {problem.start}); save it as UTF-8.") from problem
    lines: dict[Where, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        content = None if node is None else _value(loader, node, (), lines)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise InputError(
            f"{file}, line {mark.line + 1 if mark else 1}: {problem.problem or problem.context}."
        ) from problem
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise InputError(f"{file} cannot be read as YAML: {str(problem)[:200]}") from problem
    return Document(file=file, content=content, lines=lines)


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
    return loader.construct_object(node)
