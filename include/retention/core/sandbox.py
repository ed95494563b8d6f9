"""The sandbox: Jinja for files that people write, with what such a file needs, and a limit to what it may cost.

A template reaches nothing but the values and functions it is given. One rendering has a budget of text and of time,
counted wherever a value grows, a loop goes on, or something is called: what goes beyond it is an error. The time is the
processor's, not the clock's, so that a busy machine changes nothing. The templates in our code are known to end: they
take Jinja's own `ImmutableSandboxedEnvironment`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import wraps
from types import BuiltinMethodType
from typing import Any

from jinja2 import DictLoader, StrictUndefined, TemplateError, TemplateRuntimeError, TemplateSyntaxError, nodes
from jinja2.compiler import CodeGenerator
from jinja2.environment import Template, TemplateModule
from jinja2.exceptions import SecurityError, TemplateNotFound
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

SIGNS = 10_000_000  # characters that one rendering may make, those it makes on the way included
SECONDS = 2.0  # processor time of one rendering; where a garbage collection falls into it, that counts too
LONGEST_SOURCE = 200_000  # characters of a template
_STEP = 100  # what a turn of a loop and a call cost, in characters
_LOOK = 2_000  # after so many characters the time is looked at
# What a rendering can raise by what stands in the template.
PROBLEMS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
)

# None of these makes much of little; `join` and `replace` can, and are counted beforehand.
_FILTERS = (
    "abs",
    "capitalize",
    "count",
    "d",
    "default",
    "e",
    "escape",
    "first",
    "float",
    "forceescape",
    "int",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "max",
    "min",
    "replace",
    "reverse",
    "safe",
    "sort",
    "string",
    "title",
    "trim",
    "truncate",
    "upper",
    "urlencode",
    "wordcount",
)
_GLOBALS = ("range", "dict", "namespace")
_ATTRIBUTES: Mapping[type, frozenset[str]] = {
    str: frozenset(
        "capitalize count endswith find isalpha isdigit lower lstrip removeprefix removesuffix rstrip split startswith "
        "strip swapcase title upper".split()
    ),
    dict: frozenset({"get", "items", "keys", "values"}),
    date: frozenset({"year", "month", "day", "hour", "minute", "weekday", "isoweekday", "isoformat"}),
    LoopContext: frozenset(
        "index index0 revindex revindex0 first last length depth depth0 previtem nextitem cycle changed".split()
    ),
}


class BudgetError(TemplateRuntimeError):
    """A template asks for more text or time than one rendering may take."""


class _Budget:
    """What one rendering may still take."""

    def __init__(self) -> None:
        self.left = SIGNS
        self.look_at = SIGNS - _LOOK
        self.until = time.thread_time() + SECONDS

    def spend(self, signs: int) -> None:
        """Count `signs` characters. Raises BudgetError."""
        self.left -= signs + 1
        if self.left < self.look_at:
            self._look()

    def weigh(self, value: Any) -> None:
        """Count what `value` holds, and what it holds in turn."""
        if isinstance(value, (str, bytes)):
            self.spend(len(value))
        elif isinstance(value, int):
            self.spend(value.bit_length() >> 3)
        elif isinstance(value, dict):
            self.spend(len(value))
            for pair in value.items():
                self.weigh(pair)
        elif isinstance(value, (list, tuple, set, frozenset)):
            self.spend(len(value))
            for each in value:
                self.weigh(each)
        else:
            self.spend(0)

    def _look(self) -> None:
        if self.left < 0:
            raise BudgetError(
                f"it makes more than {SIGNS:,} characters (a turn of a loop, or a call, counts as {_STEP})"
            )
        if time.thread_time() > self.until:
            raise BudgetError(f"it takes more than {SECONDS} seconds of computing")
        self.look_at = max(self.left - _LOOK, 0)


_budget: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def bounded() -> Iterator[None]:
    """One budget for all that is rendered within; what is rendered on the way draws on the same."""
    if _budget.get(None) is not None:
        yield
        return
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


class _Template(Template):
    def render(self, *args: Any, **kwargs: Any) -> str:
        with bounded():
            return super().render(*args, **kwargs)


class _Generator(CodeGenerator):
    """Writes templates that count: the turns of their loops, and what is put together, cut or compared."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counted: dict[int, str] = {}  # by the identity of a node: the method that its value goes through

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:
        for each in node.find_all((nodes.For, nodes.Concat, nodes.Compare, nodes.Getitem)):
            if isinstance(each, nodes.For):
                self._counted[id(each.iter)] = "turns"
            elif isinstance(each, nodes.Concat):
                self._counted |= {id(part): "weighed" for part in each.nodes}
            elif isinstance(each, nodes.Compare):
                self._counted |= {id(part): "weighed" for part in (each.expr, *(other.expr for other in each.ops))}
            elif isinstance(each, nodes.Getitem) and isinstance(each.arg, nodes.Slice):
                self._counted[id(each.node)] = "weighed"
        super().visit_Template(node, frame)

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        method = self._counted.get(id(node))
        if method is None:
            return super().visit(node, *args, **kwargs)
        self.write(f"environment.{method}(")
        super().visit(node, *args, **kwargs)
        self.write(")")
        return None


class Sandbox(ImmutableSandboxedEnvironment):
    """Renders files that people write. An unknown name is an error."""

    code_generator_class = _Generator
    template_class = _Template
    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, *, filters: Mapping[str, Callable[..., Any]] | None = None, **options: Any) -> None:
        options.setdefault("loader", DictLoader({}))
        super().__init__(undefined=StrictUndefined, finalize=self.weighed, **options)
        self.globals = {name: self.globals[name] for name in _GLOBALS}
        self.filters = {name: _counting(name, self.filters[name]) for name in _FILTERS} | dict(filters or {})

    def compile(self, source: Any, name: str | None = None, filename: str | None = None, *args: Any) -> Any:
        """As ever; what is constant is computed here, so it has a budget too. Raises TemplateSyntaxError."""
        try:
            with bounded():
                return super().compile(source, name, filename, *args)
        except (SyntaxError, RecursionError, MemoryError):  # of Python, of which templates are made
            raise TemplateSyntaxError("it is nested too deeply", 1, name, filename) from None

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > LONGEST_SOURCE:
            raise TemplateSyntaxError(f"it is longer than {LONGEST_SOURCE:,} characters", 1, name, filename)
        try:
            return super()._parse(source, name, filename)
        except RecursionError:
            raise TemplateSyntaxError("it is nested too deeply", 1, name, filename) from None

    def concat(self, pieces: Iterable[str]) -> str:
        """The pieces together: what a template, a block or a macro gives."""
        budget = _budget.get()
        together = []
        for piece in pieces:
            budget.spend(len(piece))
            together.append(piece)
        return "".join(together)

    def weighed(self, value: Any) -> Any:
        """`value`, counted."""
        _budget.get().weigh(value)
        return value

    def turns(self, values: Iterable[Any]) -> Iterator[Any]:
        """The values that a loop goes through, each counted."""
        budget = _budget.get()
        for value in values:
            budget.spend(_STEP)
            yield value

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what the template may call."""
        budget = _budget.get()
        budget.spend(_STEP)
        budget.weigh((args, kwargs, __obj.__self__ if isinstance(__obj, BuiltinMethodType) else None))
        value = super().call(__context, __obj, *args, **kwargs)
        budget.weigh(value)
        return value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute what can make much of little, if there is budget for what comes out."""
        budget = _budget.get()
        budget.weigh((left, right))
        if operator == "%" and isinstance(left, (str, bytes)):
            raise SecurityError("text is put together with ~, not with %")
        if isinstance(left, int) and isinstance(right, int):  # the larger they are, the more than their length it takes
            if operator == "*":
                budget.spend(left.bit_length() * right.bit_length() >> 6)
            elif operator == "**":
                budget.spend((left.bit_length() * abs(right)) ** 2 >> 6)
        elif operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, (str, bytes, list, tuple)) and isinstance(times, int):
                    budget.spend(len(many) * max(times, 0))
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Only what is known to be of use and harmless, by the kind of value."""
        if attr.startswith("_"):
            return False
        if isinstance(obj, (Namespace, TemplateModule)):
            return True
        return any(isinstance(obj, kind) and attr in allowed for kind, allowed in _ATTRIBUTES.items())

    def wrap_str_format(self, value: Any) -> None:
        """Nothing: ``'{:1000000000}'.format(1)`` is not for templates."""


def _counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def counting(*args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        budget.weigh((args, kwargs))
        value = args[1] if hasattr(function, "jinja_pass_arg") else args[0]
        rest = [each for each in (*args, *kwargs.values()) if isinstance(each, str) and each is not value]
        longest = max(map(len, rest), default=0)
        if name == "replace":
            budget.spend((len(str(value)) + 1) * longest)
        elif name == "join" and hasattr(value, "__len__"):
            budget.spend(len(value) * longest)
        made = function(*args, **kwargs)
        budget.weigh(made)
        return made

    return counting


def line_of(problem: BaseException, name: str) -> int:
    """The line of the template in the file `name` at which `problem` arose; 1 where the file as a whole is at fault."""
    if isinstance(problem, TemplateSyntaxError):
        return problem.lineno
    return next((line for file, line in reversed(_lines(problem)) if file == name), 1)


def place(problem: BaseException) -> str:
    """Where `problem` arose, like ``nudge.en.j2, line 3``: the innermost template; empty where it did not."""
    lines = _lines(problem)
    return "{}, line {}".format(*lines[-1]) if lines else ""


def _lines(problem: BaseException) -> list[tuple[str, int]]:
    """The templates that were being rendered, each with its line, the innermost last."""
    if isinstance(problem, TemplateSyntaxError):
        file = problem.filename or problem.name
        return [(file, problem.lineno)] if file else []
    found = []
    trace = problem.__traceback__
    while trace is not None:
        values = trace.tb_frame.f_globals
        if "__jinja_exception__" in values:  # as Jinja rewrites it
            found.append((str(values["__file__"]), trace.tb_lineno))
        elif template := values.get("__jinja_template__"):
            found.append((str(template.filename), template.get_corresponding_lineno(trace.tb_lineno)))
        trace = trace.tb_next
    return found


def sentence(problem: BaseException) -> str:
    """What is wrong, without a full stop."""
    if isinstance(problem, RecursionError):
        return "it calls itself without an end"
    if isinstance(problem, TemplateNotFound):
        return f"there is no template {str(problem.name)!r} that may be brought in here"
    if isinstance(problem, ZeroDivisionError):
        return "it divides by zero"
    told = problem.message if isinstance(problem, TemplateError) else str(problem)
    return (told or type(problem).__name__).rstrip(".")
