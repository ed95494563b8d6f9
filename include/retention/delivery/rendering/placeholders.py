"""Placeholders: what templates do nothing with but print is left open, so that a text is rendered once for many people.

A placeholder stands for one value in one form. In the text it is a tag, a word that no customer can guess; what stands
in its place is kept beside the text, for each person. SendGrid fills placeholders by itself: its substitutions.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes
from markupsafe import escape

from retention.campaigns.templates import FILTERS

_SECRET = secrets.token_hex(6)  # of this process: who knew it could put a tag in a name
_TAG = re.compile(rf"-{_SECRET}\.(?P<name>\w+)(?:\.(?P<form>{'|'.join(FILTERS)}))?(?P<escaped>\.html)?-")
# Signs in the placeholders of one text, as many bytes each as UTF-8 needs: below SendGrid's 10,000 bytes.
LONGEST_SUBSTITUTIONS = 2_000

# What a template may do with a value that it only prints: put it next to others, give it another name, hand it to a
# macro, and ask whether it is there. Everything else, a filter or a comparison, looks into it.
_PRINTING = (
    nodes.Template,
    nodes.Block,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Concat,
    nodes.CondExpr,
    nodes.If,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.Macro,
    nodes.Call,
    nodes.Keyword,
)
_BY_ANOTHER_NAME = {"self", "super", "caller", "varargs", "kwargs"}


@dataclass(frozen=True, kw_only=True)
class Placeholder:
    """Stands for a value while a text is rendered: printed, it leaves its tag."""

    name: str
    value: Any = field(repr=False)  # of the first person it is rendered for: what can be asked of it
    is_escaped: bool = False

    def tag(self, form: str = "") -> str:
        """What it leaves after the filter `form`."""
        return f"-{_SECRET}.{self.name}{form and '.' + form}{'.html' if self.is_escaped else ''}-"

    __str__ = tag


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """What many people read, with a tag wherever a word is one person's. Compared by identity."""

    language: str
    subject: str | None = field(default=None, repr=False)
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)

    def placeholders(self) -> list[tuple[str, str, str, bool]]:
        """Each placeholder once: its tag, the name of the value, its form, and whether it is escaped."""
        tags = _TAG.finditer("\n".join((self.subject or "", self.text, self.html or "")))
        return sorted({(tag[0], tag["name"], tag["form"] or "", bool(tag["escaped"])) for tag in tags})


def fill(text: str, words: Mapping[str, str]) -> str:
    """`text` with the words in place of their tags: what one person reads."""
    for tag, word in words.items():
        text = text.replace(tag, word)
    return text


def fit(words: Collection[str]) -> bool:
    """Whether the text with `words` in its placeholders reads as if they were printed; else it is rendered for one."""
    together = f"|{'|'.join(words)}|"
    return (
        len(together) <= LONGEST_SUBSTITUTIONS
        and together.isprintable()  # no line ends, which a subject loses
        and "| " not in together
        and " |" not in together
        and "  " not in together
        and _SECRET not in together
    )


def is_markup(words: Collection[str]) -> bool:
    """Whether HTML writes one of `words` otherwise."""
    together = "".join(words)
    return len(escape(together)) != len(together)


def only_printed(trees: Sequence[nodes.Template], names: Iterable[str]) -> frozenset[str]:
    """Those of `names` that these templates, taken together, do nothing with but print, or ask whether they are there.

    What is given such a value, a variable or the argument of a macro, must itself only be printed, and so must what
    comes out of that macro. A name is one thing wherever it stands, so some are looked into that need not be.
    """
    everywhere = [name for tree in trees for name in tree.find_all(nodes.Name)]
    imports = [pair for tree in trees for each in tree.find_all(nodes.FromImport) for pair in each.names]
    macros: dict[str, list[nodes.Macro]] = {}
    for tree in trees:
        for macro in tree.find_all(nodes.Macro):
            macros.setdefault(macro.name, []).append(macro)
    if (
        any(tree.find(nodes.Import) for tree in trees)
        or any(not isinstance(pair, str) for pair in imports)  # imported by another name
        or any(name.name in _BY_ANOTHER_NAME or (name.ctx != "load" and name.name in macros) for name in everywhere)
    ):
        return frozenset()
    given, looked_into = list(_given(trees, macros)), _looked_into(trees, macros)
    made_of = {called: set().union(*map(_names, each)) for called, each in macros.items()}
    return frozenset(name for name in names if not _reached(name, given, made_of) & looked_into)


def _given(
    trees: Sequence[nodes.Template], macros: Mapping[str, Sequence[nodes.Macro]]
) -> Iterator[tuple[set[str], set[str]]]:
    """What gives values on, and to which names: each assignment, and each argument of a macro that is called."""
    for tree in trees:
        assignments: Iterable[Any] = tree.find_all((nodes.Assign, nodes.AssignBlock))
        for each in assignments:
            yield _names(each), _names(each.target)
        for call in tree.find_all(nodes.Call):
            for macro in _called(call, macros):
                known = {argument.name for argument in macro.args}
                for argument, value in zip(macro.args, call.args, strict=False):
                    yield _names(value), {argument.name}
                for keyword in call.kwargs:
                    if keyword.key in known:
                        yield _names(keyword.value), {keyword.key}


def _reached(name: str, given: Sequence[tuple[set[str], set[str]]], made_of: Mapping[str, set[str]]) -> set[str]:
    """The names by which the value of `name` goes, and the macros it comes out of."""
    reached, size = {name}, 0
    while size < len(reached):
        size = len(reached)
        for values, targets in given:
            if values & reached:
                reached |= targets
        reached |= {macro for macro, names in made_of.items() if names & reached}
    return reached


def _looked_into(trees: Sequence[nodes.Template], macros: Mapping[str, Sequence[nodes.Macro]]) -> set[str]:
    """The names with which more is done somewhere than to print them."""
    found: set[str] = set()

    def look(node: nodes.Node, is_looking: bool) -> None:
        if isinstance(node, nodes.Name) and is_looking:
            found.add(node.name)
        is_looking = is_looking or not _prints(node, macros)
        for child in node.iter_child_nodes():
            look(child, is_looking or (isinstance(node, nodes.Macro) and child in node.defaults))

    for tree in trees:
        look(tree, False)
    return found


def _prints(node: nodes.Node, macros: Mapping[str, Sequence[nodes.Macro]]) -> bool:
    """Whether what stands in `node` goes from there into the text as it is."""
    if isinstance(node, nodes.Filter):
        return node.name in FILTERS
    if isinstance(node, nodes.AssignBlock):
        return node.filter is None
    if isinstance(node, nodes.Call):
        called = _called(node, macros)
        return bool(called) and all(
            len(node.args) <= len(macro.args)
            and {each.key for each in node.kwargs} <= {argument.name for argument in macro.args}
            and node.dyn_args is node.dyn_kwargs is None
            for macro in called
        )
    return isinstance(node, _PRINTING)


def _called(call: nodes.Call, macros: Mapping[str, Sequence[nodes.Macro]]) -> Sequence[nodes.Macro]:
    return macros.get(call.node.name, ()) if isinstance(call.node, nodes.Name) else ()


def _names(node: nodes.Node) -> set[str]:
    """The names in `node`, a namespace's own included."""
    return {each.name for each in (node, *node.find_all((nodes.Name, nodes.NSRef))) if hasattr(each, "name")}
