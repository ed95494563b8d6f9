"""Templates of messages: which there are, what they may say, and how they are put together.

One file per step and language, ``messages/<campaign>/<step>.<language>.j2``; English must be there. A variant or a
level of its own words has ``<step>.<variant>.<language>.j2``, a fallback ``<step>.<channel>.<language>.j2``. What it
extends or includes stands beside it, or in ``messages`` for all campaigns. A template has the blocks ``subject``,
``text`` and ``html`` (e-mail) or ``text`` (SMS, postal card). An e-mail's template extends ``layout.html.j2``:
rendered whole, with autoescape, it is the HTML page; its blocks ``subject`` and ``text``, rendered alone and without
autoescape, are the subject and the plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import FunctionLoader, TemplateSyntaxError, meta, nodes

from retention.core import channels
from retention.core.errors import InputError
from retention.core.sandbox import Sandbox

VARIABLES = {
    "first_name": "the customer's first name; none if unknown",
    "language": "the language of the template that is rendered: en, nl, pl, el ...",
    "shop_name": "the shop's name",
    "shop_address": "the shop's postal address, in one line",
    "shop_url": "this customer's link into the shop, which counts the click; a path may follow: {{ shop_url }}/sale",
    "unsubscribe_url": "this customer's link to unsubscribe",
    "can_reply": "whether the sender of an SMS takes an answer like STOP: a number does, a name does not",
    "last_order_on": "the day of the last complete order; none for a customer who never bought. "
    "Write {{ last_order_on | day }}",
    "offer": "the offer in a few words, as its file says them, or like 10%; only in a step with an offer that says it",
    "offer_percent": "the offer's discount, like 10; only in a step with an offer of a percentage",
    "offer_amount": "the offer's discount; only in a step with an offer of an amount. Write {{ offer_amount | money }}",
    "offer_minimum": "what an order comes to at least; only in a step with an offer that asks for it. "
    "Write {{ offer_minimum | money }}",
    "coupon_code": "the customer's own code; only in a step with an offer that has one",
    "coupon_expires_at": "the instant at which the code stops working; only in a step with an offer that has one. "
    "Write {{ coupon_expires_at | moment }}",
    "campaign": "the campaign's name",
    "step": "the step's name",
}
KNOWN_VARIABLES = frozenset(VARIABLES)
OFFER_VARIABLES = frozenset(
    {"offer", "offer_percent", "offer_amount", "offer_minimum", "coupon_code", "coupon_expires_at"}
)
OPT_OUT = "opt_out.txt.j2"  # the way out of texts, in every language and for either kind of sender
# A day, an instant in the customer's zone, an amount in the shop's currency: in words of the message's language.
FILTERS = ("day", "moment", "money")


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What is in a template, each with its line."""

    blocks: frozenset[str]
    variables: tuple[tuple[int, str], ...]  # those it takes from outside
    assigned: tuple[tuple[int, str], ...]  # those it makes
    references: tuple[tuple[object, int], ...]  # the templates it extends, includes or imports
    text_line: int  # of the block `text`
    text_length: int  # characters in it that stand there whatever the values are
    has_way_out: bool  # in the block `text`, whatever the values are


def environment(templates: Mapping[str, str], *, html: bool, filters: Mapping[str, Callable[..., Any]]) -> Sandbox:
    """The sandbox in which templates are compiled; `html`: values are escaped. An unknown variable is an error."""

    def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
        return (templates[name], name, lambda: True) if name in templates else None

    return Sandbox(loader=FunctionLoader(load), autoescape=html, trim_blocks=True, lstrip_blocks=True, filters=filters)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The templates of one step: of its channel, of its fallback, and of its variants and levels that have some."""

    step: str
    channel: str
    fallback: str | None
    variants: Sequence[str]
    facts: Mapping[str, frozenset[str]]  # what is known of its offer, by variant or level; "" of all others

    def known(self, word: str = "") -> frozenset[str]:
        """The variables of a template of that word: those of its offer, or those that all its offers have."""
        facts = [self.facts[word]] if word in self.facts else list(self.facts.values())
        return KNOWN_VARIABLES - OFFER_VARIABLES | (frozenset.intersection(*facts) if facts else frozenset())


def read(include: Path, campaign: str, steps: Iterable[Wanted]) -> dict[str, str]:
    """The text of every template of the campaign and of what they share, checked; by file name, like nudge.en.j2.

    Raises InputError naming file, line and what to write instead.
    """
    folders = (include / "messages" / campaign, include / "messages")
    found: dict[str, str] = {}
    for each in steps:
        languages = _languages(folders[0], each.step)
        _check_words(folders[0], each)
        stems = {each.step: each.channel} | {
            stem: each.channel for word in each.variants if _languages(folders[0], stem := f"{each.step}.{word}")
        }
        if each.fallback:
            stems[f"{each.step}.{each.fallback}"] = each.fallback
        for stem, channel in stems.items():
            for language in sorted({"en", *languages}):
                file = folders[0] / f"{stem}.{language}.j2"
                if not file.is_file():
                    why = (
                        "every step has a template at least in English"
                        if stem == each.step
                        else f"it has to be there in every language in which {each.step} is"
                    )
                    raise InputError(f"{file} is missing: {why}. Write this file.")
                allowed = each.known(stem.removeprefix(each.step).removeprefix("."))
                _check_blocks(file, _add(file, folders, found, allowed), channel)
    return dict(sorted(found.items()))


def _languages(folder: Path, stem: str) -> list[str]:
    pattern = re.compile(re.escape(stem) + r"\.([a-z]{2})\.j2")
    return sorted(match[1] for file in folder.glob(f"{stem}.*.j2") if (match := pattern.fullmatch(file.name)))


def _check_words(folder: Path, wanted: Wanted) -> None:
    """A template that nobody would ever get is a mistake."""
    known = [*wanted.variants, *([wanted.fallback] if wanted.fallback else [])]
    for file in sorted(folder.glob(f"{wanted.step}.*.*.j2")):
        word = file.name.removeprefix(f"{wanted.step}.").rpartition(".j2")[0].rpartition(".")[0]
        if word not in known:
            raise InputError(
                f"{file}: {word!r} is neither a variant or level that gets the step {wanted.step} nor its fallback; "
                + (f"those are {', '.join(known)}." if known else "it has none.")
            )


def _add(file: Path, folders: Sequence[Path], found: dict[str, str], allowed: frozenset[str]) -> Inspected:
    """Read and check one template, and those it refers to, into `found`; what is in it."""
    try:
        text = file.read_text(encoding="utf-8")
        inspected = _inspect(text)
    except UnicodeDecodeError as problem:
        raise InputError(f"{file} is not UTF-8 (byte {problem.start}); save it as UTF-8.") from problem
    except OSError as problem:
        raise InputError(f"{file} cannot be read: {problem.strerror}.") from problem
    except TemplateSyntaxError as problem:
        raise InputError(f"{file}, line {problem.lineno}: {problem.message}") from problem
    _check_variables(file, inspected, allowed)
    found[file.name] = text
    for name, line in inspected.references:
        other = _beside(name, folders)
        if name == OPT_OUT and other == folders[0] / OPT_OUT:
            raise InputError(f"{other}: how to get no more texts is said alike in all campaigns; delete this file.")
        if other is None:
            raise InputError(
                f"{file}, line {line}: there is no template {name or 'with a name made at run time'!r} "
                f"in {folders[0]} or {folders[1]}; name one that is there, like 'layout.html.j2'."
            )
        if other.name not in found:
            _add(other, folders, found, KNOWN_VARIABLES)
    return inspected


@lru_cache(maxsize=512)
def _inspect(text: str) -> Inspected:
    """What is in a template; kept, since compiling is the slow part of reading a campaign."""
    sandbox = environment({}, html=False, filters=dict.fromkeys(FILTERS, str))
    tree = sandbox.parse(text)
    sandbox.compile(text)
    undeclared = meta.find_undeclared_variables(tree)
    names = sorted((node.lineno, node.name) for node in tree.find_all(nodes.Name) if node.name in undeclared)
    references = tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport))
    text_block = next((block for block in tree.find_all(nodes.Block) if block.name == "text"), None)
    return Inspected(
        blocks=frozenset(block.name for block in tree.find_all(nodes.Block)),
        variables=tuple(names),
        assigned=tuple((each.lineno, each.name) for each in tree.find_all(nodes.Name) if each.ctx == "store"),
        references=tuple((getattr(each.template, "value", None), each.lineno) for each in references),  # type: ignore[attr-defined]
        text_line=text_block.lineno if text_block else 1,
        text_length=sum(len(each.data) for each in text_block.find_all(nodes.TemplateData)) if text_block else 0,
        has_way_out=any(_is_way_out(node) for node in (text_block.body if text_block else ())),
    )


def _is_way_out(node: nodes.Node) -> bool:
    """Whether this prints how to get no more messages: the text that all share, or the link."""
    if isinstance(node, nodes.Include):
        return getattr(node.template, "value", None) == OPT_OUT
    return isinstance(node, nodes.Output) and any(
        isinstance(each, nodes.Name) and each.name == "unsubscribe_url" for each in node.nodes
    )


def _beside(name: object, folders: Sequence[Path]) -> Path | None:
    if not isinstance(name, str) or "/" in name or "\\" in name:
        return None
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _check_variables(file: Path, inspected: Inspected, allowed: frozenset[str]) -> None:
    for line, name in inspected.assigned:
        if name in KNOWN_VARIABLES:
            raise InputError(f"{file}, line {line}: {name!r} is given; call a variable of your own otherwise.")
    for line, name in inspected.variables:
        if name in allowed:
            continue
        if name in OFFER_VARIABLES:
            raise InputError(
                f"{file}, line {line}: the variable {name!r} is known only in a step with an offer that has it; "
                "give the step such an offer, or leave the variable out."
            )
        raise InputError(f"{file}, line {line}: unknown variable {name!r}; known are {', '.join(sorted(allowed))}.")


def _check_blocks(file: Path, inspected: Inspected, channel: str) -> None:
    spec = channels.get(channel)
    missing = [name for name in spec.parts if name not in inspected.blocks]
    if missing:
        blocks = ", ".join(f"{{% block {name} %}}" for name in spec.parts)
        raise InputError(f"{file}, line 1: the block {missing[0]!r} is missing; a template for {channel} has {blocks}.")
    if spec.must_say_way_out and not inspected.has_way_out:
        raise InputError(
            f"{file}, line {inspected.text_line}: an SMS must say how to get no more of them; write "
            f"{{% include \"{OPT_OUT}\" %}} at the end of its block 'text', outside any if."
        )
    if spec.longest_text and inspected.text_length > spec.longest_text:
        raise InputError(
            f"{file}, line {inspected.text_line}: {inspected.text_length} characters; a card has room for "
            f"{spec.longest_text}, with what the variables say. Shorten the block 'text'."
        )
