"""The sandbox: a file that people write reaches nothing of the machine, and ends, whatever it says."""

from __future__ import annotations

import ast
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from retention.core import database
from retention.core.errors import InputError
from retention.delivery.rendering.render import TemplateError, Templates
from retention.selections import rendering

PROJECT = Path(__file__).resolve().parents[2]
ZONE = ZoneInfo("Europe/Amsterdam")
LINE = 3  # of what is wrong in each file here
MEMORY = 2 << 30  # bytes of address space that what is rendered here may take, the program included
PROCESSOR = 20  # seconds of computing, ten times what a rendering may take

# What reaches for something that is not a template's.
REACHING = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''['__class__'] }}",
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ range.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ namespace(b=1).__class__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner }}",
    "{{ ''|attr('__class__') }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ ''.format_map({}) }}",
    "{{ [].append(1) }}",
    "{% include '../../../../../../etc/passwd' %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
]
# What would take a lot of memory.
LARGE = [
    "{{ 'x' * 10**10 }}",
    "{{ 10**10 * 'x' }}",
    "{{ [1] * 10**10 }}",
    "{{ range(10**9) | list }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 'x'.ljust(10**10) }}",
    "{{ 'x'.zfill(10**10) }}",
    "{{ 'x' | center(10**10) }}",
    "{{ 'x' | indent(10**10) }}",
    "{{ [1] | batch(10**9, 0) | list }}",
    "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
    "{{ range(90000) | join('x' * 90000) }}",
    "{{ 10 ** (10 ** 10) }}",
    "{% set a = namespace(b='x') %}{% for i in range(99) %}{% set a.b = a.b ~ a.b %}{% endfor %}",
    "{% set a = namespace(b='x') %}{% for i in range(99) %}{% set a.b = a.b + a.b %}{% endfor %}",
    "{% set a = namespace(b='x') %}{% for i in range(99) %}{% set a.b %}{{ a.b }}{{ a.b }}{% endset %}{% endfor %}",
    "{% set a = namespace(b=9) %}{% for i in range(99) %}{% set a.b = a.b * a.b %}{% endfor %}",
    "{% set a = namespace(b=[1]) %}{% for i in range(99) %}{% set a.b = [a.b, a.b] %}{% endfor %}{{ a.b }}",
]
# What would take long, or never end.
LONG = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "{% for i in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(100) }}",
    "{% set a = namespace(b=[1]) %}{% for i in range(99) %}{% set a.b = [a.b, a.b] %}{% endfor %}{{ a.b == [1] }}",
    "{% set s = 'x' * 900000 %}{% for i in range(99999) %}{% if s[1:] %}{% endif %}{% endfor %}",
    "{% set s = 'x' * 900000 %}{% for i in range(99999) %}{% if s == s ~ '' %}{% endif %}{% endfor %}",
    "{% for i in range(99999) %}" + "{% if i %}{% endif %}" * 5_000 + "{% endfor %}",
    "{% for i in [1] %}" * 30 + "{% endfor %}" * 30,
    "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
    "{{" * 90_000,
    "x" * 300_000,
    "{{ 1 / 0 }}",
    "{{ {}.a }}",
    "{{ 'x'.y() }}",
    "{{ [1] + 'x' }}",
]
ALL = [*REACHING, *LARGE, *LONG]


class Confined:
    """Calls functions in a process with little memory and time: a budget that is broken fails a test, no machine."""

    def __init__(self, seconds: int = PROCESSOR) -> None:
        self._seconds = seconds
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` returns or raises; MemoryError, or BrokenProcessPool, for one that takes too much."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_limit_memory)
        try:
            return self._pool.submit(_within, self._seconds, function, arguments).result()
        except BrokenProcessPool:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None


def _limit_memory() -> None:
    _limit(resource.RLIMIT_AS, MEMORY)


def _within(seconds: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    _limit(resource.RLIMIT_CPU, int(time.process_time()) + seconds)
    return function(*arguments)


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


@pytest.fixture(scope="module")
def confined() -> Iterator[Confined]:
    """A process for all that is rendered here."""
    process = Confined()
    yield process
    process.close()


def render_message(files: dict[str, str]) -> None:
    """Render the message `nudge` of a campaign with these templates."""
    Templates(files).render("nudge", "sms", "en", {"first_name": "Ada"}, ZONE)


def names(template: str) -> str:
    """A template as the name of its test."""
    return template[:60]


def occasion() -> rendering.RenderContext:
    return rendering.RenderContext(day=date(2026, 11, 20), zone=ZONE, inactive_days=180, table=database.identifier)


@pytest.mark.parametrize("template", ALL, ids=names)
def test_a_selection_that_reaches_out_or_never_ends_is_an_error_with_file_and_line(
    template: str, tmp_path: Path, confined: Confined
) -> None:
    file = tmp_path / "sql" / "selections" / "mine.sql"
    file.parent.mkdir(parents=True)
    file.write_text(f"-- Mine.\nselect customer_id from customers\n{template}\n")
    with pytest.raises(InputError, match=rf"selections/mine\.sql, line (?:1|{LINE}): .+\.$") as problem:
        confined(rendering.render, tmp_path, file, occasion())
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("template", ALL, ids=names)
def test_an_order_selection_that_reaches_out_or_never_ends_is_an_error_with_file_and_line(
    template: str, tmp_path: Path, confined: Confined
) -> None:
    for folder in ("selections", "order_selections"):
        (tmp_path / "sql" / folder).mkdir(parents=True)
    file = tmp_path / "sql" / "selections" / "mine.sql"
    file.write_text("-- Mine.\nselect customer_id from customers as c where {{ orders_in('theirs', at_least=1) }}")
    (tmp_path / "sql" / "order_selections" / "theirs.sql").write_text(f"-- Orders.\nselect 1\n{template}\n")
    with pytest.raises(InputError, match=rf"order_selections/theirs\.sql, line (?:1|{LINE}): .+\.$"):
        confined(rendering.render, tmp_path, file, occasion())


@pytest.mark.parametrize("template", ALL, ids=names)
def test_a_statement_that_reaches_out_or_never_ends_is_an_error_with_file_and_line(
    template: str, tmp_path: Path, confined: Confined
) -> None:
    (tmp_path / "sql" / "orders").mkdir(parents=True)
    (tmp_path / "sql" / "orders" / "mine.sql").write_text(f"-- Mine.\nselect 1\n{template}\n")
    with pytest.raises(InputError, match=rf"orders/mine\.sql, line (?:1|{LINE}): .+\.$"):
        confined(database.sql, tmp_path, "orders/mine", {"table": "a"})


@pytest.mark.parametrize("template", ALL, ids=names)
def test_a_message_that_reaches_out_or_never_ends_is_an_error_with_file_and_line(
    template: str, confined: Confined
) -> None:
    files = {"nudge.en.j2": f"{{% block text %}}\n\n{template}\n{{% endblock %}}"}
    with pytest.raises(TemplateError, match=rf"^nudge\.en\.j2, line (?:1|{LINE}): .+"):
        confined(render_message, files)


def test_what_takes_all_memory_or_never_ends_fails_a_test_and_no_machine() -> None:
    confined = Confined(seconds=2)
    for endless, error in (("'x' * 10 ** 10", MemoryError), ("any(iter(int, 1))", BrokenProcessPool)):
        with pytest.raises(error):
            confined(eval, endless)
        assert confined(eval, "1 + 1") == 2
    confined.close()


def test_what_a_message_brings_in_is_named_when_it_is_at_fault(confined: Confined) -> None:
    files = {
        "nudge.en.j2": "{% block text %}{% include 'footer.j2' %}{% endblock %}",
        "footer.j2": "one\ntwo {{ 'x' * 10**10 }}",
    }
    with pytest.raises(TemplateError, match=r"^footer\.j2, line 2: it makes more than 10,000,000 characters"):
        confined(render_message, files)


def test_order_selections_that_double_each_other_draw_on_one_budget(tmp_path: Path, confined: Confined) -> None:
    for folder in ("selections", "order_selections"):
        (tmp_path / "sql" / folder).mkdir(parents=True)
    for number in range(40):
        next_one = f"orders('o{number + 1}')"
        text = f"-- Orders.\n{{% set a = {next_one} %}}{{% set b = {next_one} %}}select 1\n"
        (tmp_path / "sql" / "order_selections" / f"o{number}.sql").write_text(text)
    (tmp_path / "sql" / "order_selections" / "o40.sql").write_text("-- Orders.\nselect 1\n")
    file = tmp_path / "sql" / "selections" / "mine.sql"
    file.write_text("-- Mine.\nselect customer_id from customers as c where {{ orders_in('o0', at_least=1) }}")
    with pytest.raises(InputError, match=r"order_selections/o\d+\.sql, line [12]: it (?:makes|takes) more than"):
        confined(rendering.render, tmp_path, file, occasion())


def test_a_file_whose_plain_text_is_too_much_is_named_with_a_line_too(tmp_path: Path, confined: Confined) -> None:
    for folder in ("selections", "order_selections"):
        (tmp_path / "sql" / folder).mkdir(parents=True)
    file = tmp_path / "sql" / "selections" / "mine.sql"
    file.write_text("-- Mine.\n{% for each in [" + "1, " * 60 + "] %}" + "x" * 190_000 + "{% endfor %}")
    with pytest.raises(InputError, match=r"selections/mine\.sql, line \d+: it makes more than 10,000,000 characters"):
        confined(rendering.render, tmp_path, file, occasion())


def test_a_rendering_has_an_end_in_time_too(confined: Confined) -> None:
    loop = "{% for i in range(99999) %}" + "{% if i %}{% endif %}" * 5_000 + "{% endfor %}"
    files = {"nudge.en.j2": f"{{% block text %}}{loop}{{% endblock %}}"}
    with pytest.raises(TemplateError, match=r"it takes more than 2\.0 seconds of computing"):
        confined(render_message, files)


def test_a_budget_is_for_one_rendering_and_the_next_has_its_own() -> None:
    files = {"nudge.en.j2": "{% block text %}{{ 'x' * 2000000 }}{% endblock %}"}
    templates = Templates(files)
    for name in ("Ada\n", "Bob\n", "Eve\n"):  # a name with a line end is not left open, so each is rendered
        assert len(templates.render("nudge", "sms", "en", {"first_name": name}, ZONE).text) == 2_000_000


def test_what_templates_are_written_with_still_works() -> None:
    template = """{% block text %}
{% set a = namespace(n=0) %}{% macro m(x) %}<{{ x }}>{% endmacro %}{% macro w() %}<{{ caller() }}>{% endmacro %}
{% for i in range(3) %}{% set a.n = a.n + i * 2 ** 1 %}{{ loop.index }}{{ "," if not loop.last }}{% endfor +%}
{{ a.n }} {{ m("x" ~ 1) }} {{ first_name.upper() }} {{ first_name | replace("A", "O") | lower }}
{{ {"en": "yes"}[language] }} {{ "abc"[1:] }} {{ [1, 2] | join("-") }} {{ 7 % 4 }} {{ 1 < 2 }}
{{ last_order_on.year }} {% filter upper %}end{% endfilter %} {% call w() %}c{% endcall %}
 {{ nothing | default("none", true) }}{% endblock %}"""
    values = {"first_name": "Ada\n", "nothing": "", "last_order_on": datetime(2026, 11, 20, tzinfo=UTC)}
    text = Templates({"nudge.en.j2": template}).render("nudge", "sms", "en", values, ZONE).text
    assert text.split() == [
        "1,2,3",
        "6",
        "<x1>",
        "ADA",
        "oda",
        "yes",
        "bc",
        "1-2",
        "3",
        "True",
        "2026",
        "END",
        "<c>",
        "none",
    ]


def test_arguments_of_macros_do_not_become_sql(tmp_path: Path) -> None:
    for folder in ("selections", "order_selections"):
        (tmp_path / "sql" / folder).mkdir(parents=True)
    (tmp_path / "sql" / "order_selections" / "all_orders.sql").write_text("-- Orders.\nselect * from orders\n")
    file = tmp_path / "sql" / "selections" / "mine.sql"
    evil = "1; drop table shop.customers"
    for macro in (
        "between_days('{}', after=1)",
        "between_days('o.a', after='{}')",
        "between_days('o.a', before='{}')",
        "between_days('o.a', before_ahead='{}')",
        "between_months('{}', after=1)",
        "between_months('o.a', after='{}')",
        "between_months('o.a', before='{}')",
        "since('{}', days=1)",
        "since('o.a', days='{}')",
        "since('o.a', months='{}')",
        "since('o.a', days=1, within='{}')",
        "orders_in('{}')",
        "orders_in('all_orders', at_least='{}')",
        "orders_in('all_orders', at_most='{}')",
        "orders_in('all_orders', of='{}')",
        "orders('{}')",
        "orders('../selections/mine')",
    ):
        file.write_text(f"-- Mine.\nselect customer_id from customers as c where {{{{ {macro.format(evil)} }}}}\n")
        with pytest.raises(InputError, match=r"mine\.sql, line 2: "):
            rendering.render(tmp_path, file, occasion())
    file.write_text("-- Mine.\nselect customer_id from {{ selection('a\" as b; drop table c') }}\n")
    assert '"a"" as b; drop table c"' in rendering.render(tmp_path, file, occasion()).sql


def test_every_template_is_rendered_in_a_sandbox() -> None:
    found = []
    for file in [*(PROJECT / "include").rglob("*.py"), *(PROJECT / "dags").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jinja2"):
                found += [(file.name, each.name) for each in node.names]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "jinja2":
                found.append((file.name, node.attr))
    makers = {(file, name) for file, name in found if "Environment" in name or name in ("Template", "nativetypes")}
    assert {name for file, name in makers if file != "sandbox.py" and name != "Template"} == {
        "ImmutableSandboxedEnvironment"
    }
