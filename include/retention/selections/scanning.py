"""What a selection's SQL must not do, as far as its text shows it.

Not a parser: strings and comments are blanked out, then words are looked for. It catches slips, it is no fence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Finding = tuple[int, str]  # index in the SQL, what is wrong

_SILENT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_CLOCK = re.compile(
    r"\b(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|current_setting)\s*\("
    r"|\b(?:current_date|current_timestamp|current_time|localtimestamp|localtime)\b"
)
_QUALIFIED = re.compile(r'(?<![\w.])"?\b([a-z_]\w*)"?\s*\.\s*["a-z_*]')
_INTRODUCED = re.compile(r'(?<!\.)\b[a-z_]\w*\b(?!"?\s*\.)')  # a table or its alias: stands once without a dot
_READ = re.compile(r'\b(?:(?<!distinct )from|join|table)\s+(?:only\s+|lateral\s+)?"?([a-z_]\w*)("?\s*\.)?')
_TAKES_FROM = re.compile(r"\b(?:extract|substring|overlay|trim)\s*$")  # functions whose arguments have a `from` too
_SELECT = re.compile(r"\(\s*select\b")
_OVER = re.compile(r"\bover\s*(\(\s*partition\s+by\s+(?:\w+\.)?customer_id\b)?")
_LIMIT = re.compile(r"\b(?:limit|offset|fetch\s+(?:first|next))\b|\bdistinct\s+on\b(?!\s*\(\s*(?:\w+\.)?customer_id\b)")
_GROUP = re.compile(r"\bgroup\s+by\b")
_JOIN = re.compile(r"\bjoin\b")
_UNEQUAL = re.compile(r"\bcustomer_id\s*(?:<>|!=|<|>)")
_CLAUSE = re.compile(r"\b(?:join|where|group|having|order|union|limit|offset|window)\b")


def problems(sql: str) -> Iterator[Finding]:
    """What no selection may do: several statements, the wall clock, tables outside its world."""
    code = _code(sql)
    if not re.match(r"\s*(?:select|with)\b", code):
        yield len(code) - len(code.lstrip()), "it does not begin with `select`"
    if (semicolon := code.find(";")) >= 0:
        yield semicolon, "a semicolon: the file holds one select and nothing after it"
    for match in _CLOCK.finditer(code):
        yield (
            match.start(),
            f"{match[0].strip('( ')}: a run depends on its day only; use a window macro or {{{{ day }}}}",
        )
    for index, schema in sorted(_schemas(code)):
        yield (
            index,
            f"a table of schema {schema}: write tables without a schema, selections as {{{{ selection('name') }}}}, "
            "so that a day in the past reads what was known then",
        )


def _schemas(code: str) -> Iterator[Finding]:
    """Where a schema is named. Any is too much: the world says which schemas its bare table names are looked up in."""
    introduced = set(_INTRODUCED.findall(code))
    for match in _QUALIFIED.finditer(code):
        if match[1] not in introduced:
            yield match.start(1), match[1]
    for match in _READ.finditer(code):
        if _TAKES_FROM.search(code, 0, _opened(code, match.start())):
            continue
        if match[2] and match[1] in introduced:
            yield match.start(1), match[1]
        if not match[2] and match[1].startswith("pg_"):
            yield match.start(1), "pg_catalog"


def comparisons(sql: str) -> Iterator[Finding]:
    """Where customers seem to be compared with each other."""
    code = _code(sql)
    for match in _OVER.finditer(code):
        if not match[1]:
            yield match.start(), "a window function that is not `partition by customer_id`"
    for match in _LIMIT.finditer(code):
        if _depth(code, match.start()) == 0:
            yield match.start(), f"{match[0]} over all customers"
    for match in _UNEQUAL.finditer(code):
        yield match.start(), "a comparison of different customer_ids"
    yield from _untied(code)


def _untied(code: str) -> Iterator[Finding]:
    """Subqueries, joins and groups that are not tied to the customer."""
    for pattern, clause, what in (
        (_SELECT, None, "a subquery without customer_id"),
        (_JOIN, _CLAUSE, "a join that is not on customer_id"),
        (_GROUP, _CLAUSE, "a group that is not by customer_id"),
    ):
        for match in pattern.finditer(code):
            start = match.start() + 1 if clause is None else match.end()
            if "customer_id" not in code[start : _end(code, start, clause)]:
                yield match.start(), what


def _code(sql: str) -> str:
    """`sql` in lower case with comments and strings blanked out; every index and line stays."""
    return _SILENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), sql).lower()


def _depth(code: str, index: int) -> int:
    return code.count("(", 0, index) - code.count(")", 0, index)


def _opened(code: str, index: int) -> int:
    """Where the innermost parenthesis around `index` opens; 0 where there is none."""
    depth = 0
    for at in range(index - 1, -1, -1):
        depth += (code[at] == ")") - (code[at] == "(")
        if depth < 0:
            return at
    return 0


def _end(code: str, start: int, clause: re.Pattern[str] | None) -> int:
    """Where what begins at `start` ends: its closing parenthesis, or the next clause outside parentheses."""
    depth = 0
    for index in range(start, len(code)):
        if code[index] == "(":
            depth += 1
        elif code[index] == ")":
            depth -= 1
            if depth < 0:
                return index
        elif clause and depth == 0 and clause.match(code, index) and not code[index - 1].isalnum():
            return index
    return len(code)
