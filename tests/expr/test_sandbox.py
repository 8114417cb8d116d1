"""The one Jinja2 environment: hardened, and made in one place only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jinja2 import DictLoader
from jinja2.exceptions import SecurityError, TemplateError
from pydantic import BaseModel

from orchestrator.expr.errors import Fault
from orchestrator.expr.sandbox import hardened_environment

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "orchestrator").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])


class Model(BaseModel):
    name: str = "x"


def render(source: str, **scope: Any) -> str:
    return hardened_environment().from_string(source).render(scope)


@pytest.mark.parametrize(
    "source",
    [
        "{{ m.name }}",
        "{{ m.parse_file('/etc/hostname') }}",
        "{{ m['name'] }}",
        "{{ ''.__class__ }}",
        "{{ d.__class__ }}",
        "{{ d.items() }}",
        "{{ [m] | map(attribute='name') | list }}",
        "{{ d | attr('x') }}",
        "{{ 'a' | urlize }}",
        "{{ cycler }}",
        "{{ self.__init__ }}",
        "{{ 'a' * 10**9 }}",
        "{{ 9 ** 64 ** 64 }}",
        "{{ range(10**9) }}",
        "{{ '%1000000000s' % 'a' }}",
        "{{ d.missing }}",
        "{{ missing }}",
        "{{ f(1) }}",
    ],
)
def test_the_environment_refuses_objects_growth_and_what_is_missing(source: str) -> None:
    with pytest.raises((TemplateError, SecurityError, Fault)):
        render(source, m=Model(), d={"a": 1}, f=lambda x: x)


def test_pages_can_loop_include_extend_and_use_macros() -> None:
    pages = {
        "base": "<{% block body %}{% endblock %}>",
        "macros": "{% macro row(x) %}[{{ x }}]{% endmacro %}",
        "page": "{% extends 'base' %}{% import 'macros' as m %}{% block body %}"
        "{% for x in xs %}{{ loop.index }}{{ m.row(x.name) }}{% endfor %}{% endblock %}",
    }
    environment = hardened_environment(loader=DictLoader(pages), autoescape=True)
    assert environment.get_template("page").render(xs=[{"name": "<a>"}, {"name": "b"}]) == "<1[&lt;a&gt;]2[b]>"


def test_filters_and_tests_are_those_of_the_language() -> None:
    assert render("{{ 5400 | duration }} {{ x | count }} {{ x is eq [1] }} {{ '42' | int }}", x=[1]) == "90m 1 True 42"
    assert render("{{ x | map('upper') | join('+') }}", x=["a", "b"]) == "A+B"
    with pytest.raises(TemplateError):
        render("{{ 'x' | center(80) }}")


def makes_an_environment(path: Path) -> list[int]:
    """The lines of a file that make a Jinja2 environment or template of their own."""
    wanted = {"Environment", "SandboxedEnvironment", "ImmutableSandboxedEnvironment", "NativeEnvironment", "Template"}
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    text = path.read_text("utf-8")
    return [
        call.lineno
        for call in calls
        if (isinstance(call.func, ast.Name) and call.func.id in wanted and "jinja2" in text)
        or (isinstance(call.func, ast.Attribute) and call.func.attr in wanted and "jinja2" in ast.unparse(call.func))
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_file_makes_a_jinja_environment(path: Path) -> None:
    assert makes_an_environment(path) == []


def test_the_rule_sees_an_environment(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import jinja2\nfrom jinja2 import Environment\nEnvironment()\njinja2.Environment()\n")
    assert makes_an_environment(bad) == [3, 4]


def test_evaluating_and_checking_never_loads_jinja() -> None:
    code = (
        "import sys; from orchestrator.expr import compile_expr, compile_value, encode_text;"
        "from orchestrator.expr.placing import check_condition; from orchestrator.expr import parse;"
        "compile_value(encode_text('a ${{ x | map(attribute=\"b\") | join }}')).render({'x': [{'b': 1}]});"
        "check_condition(parse('x'), {}); print('jinja2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"
