"""YAML files people write: read safely, checked against a schema, errors with file, line and what to write instead."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from retention.errors import InputError

Schema = dict[str, Any]


def read(path: Path, schema: Schema) -> dict[str, Any]:
    """The content of `path`. Raises InputError, naming file and line, when it is absent or breaks `schema`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        raise InputError(f"{path}: there is no such file.") from problem
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: is not UTF-8; save it as UTF-8.") from problem
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(problem, 'problem', problem)}.") from problem
    problems = sorted(
        Draft202012Validator(schema).iter_errors(content), key=lambda e: _line(node, list(e.absolute_path))
    )
    if problems:
        raise InputError(_explain(path, node, problems[0]))
    _refuse_duplicates(path, node)
    return dict(content)


def _explain(path: Path, node: yaml.Node | None, problem: ValidationError) -> str:
    place = [str(part) for part in problem.absolute_path]
    known = sorted(problem.schema.get("properties", {})) if isinstance(problem.schema, dict) else []
    if problem.validator == "additionalProperties" and isinstance(problem.instance, dict):
        key = next((key for key in problem.instance if key not in known), "")
        line = _line(node, [*problem.absolute_path, key], of_key=True)
        near = get_close_matches(str(key), known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}."
        return f"{path}, line {line}: unknown key {key!r}{_under(place)}; {hint}"
    line = _line(node, list(problem.absolute_path))
    hint = problem.schema.get("description", "") if isinstance(problem.schema, dict) else ""
    return (
        f"{path}, line {line}: {'.'.join(place) or 'the file'}: {problem.message[:200]}{f'; {hint}' if hint else ''}."
    )


def _under(place: list[str]) -> str:
    return f" under {'.'.join(place)}" if place else ""


def _line(node: yaml.Node | None, place: list[Any], *, of_key: bool = False) -> int:
    """The line (from 1) of the value at `place`, or of its key; of the nearest thing around it if it is absent."""
    line = node.start_mark.line + 1 if node else 1
    for number, part in enumerate(place):
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                return line
            key, node = pair
            is_last = number == len(place) - 1
            line = (
                key if is_last and of_key else node if isinstance(node, yaml.ScalarNode) else key
            ).start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _refuse_duplicates(path: Path, node: yaml.Node | None) -> None:
    """YAML takes the last of two equal keys in silence; we refuse the second."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise InputError(f"{path}, line {key.start_mark.line + 1}: the key {key.value!r} stands here twice.")
            seen.add(key.value)
            _refuse_duplicates(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(path, item)
