"""A catalog of small callables and a project around the test flows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from orchestrator.authoring.project import Project
from orchestrator.compiler.compile import Compiled, compile_text
from orchestrator.compiler.project import ProjectContext
from orchestrator.plugin.catalog import Catalog

FLOWS = Path(__file__).parent / "flows"


class Review(BaseModel):
    """What `demo.review` gives."""

    score: int
    notes: str


def greet(name: str) -> str:
    return f"Hello {name}"


def upper(text: str) -> str:
    return text.upper()


def write(topic: str, previous: str, notes: str) -> str:
    return f"{topic} {previous} {notes}"


def review(text: str) -> Review:
    return Review(score=len(text), notes="")


def summarise(text: str) -> str:
    return text[:10]


def join(parts: list[str]) -> str:
    return " ".join(parts)


class Label(BaseModel):
    """One word for a ticket."""

    label: str


class Labelled(BaseModel):
    """What `demo.keyword_label` gives: the shape of a model's answer."""

    data: Label


def keyword_label(text: str) -> Labelled:
    return Labelled(data=Label(label=text))


def mystery():  # type: ignore[no-untyped-def]  # what a user without annotations writes
    return {}


def feedback(sku: str) -> str:
    return "Good" if sku else "Bad"


def place_order(sku: str) -> None:
    return None


def translate(text: str, lang: str) -> str:
    return f"{lang}: {text}"


def park(item: dict[str, object]) -> None:
    return None


def publish(article: dict[str, object]) -> None:
    return None


STEPS: dict[str, Callable[..., object]] = {
    "demo.greet": greet,
    "demo.upper": upper,
    "demo.write": write,
    "demo.review": review,
    "demo.summarise": summarise,
    "demo.join": join,
    "demo.keyword_label": keyword_label,
    "demo.feedback": feedback,
    "demo.place_order": place_order,
    "demo.clear_out": place_order,
    "demo.translate": translate,
    "demo.park": park,
    "demo.publish": publish,
    "example.mystery": mystery,
    "text.upper": upper,
}


def catalog() -> Catalog:
    """Bundled plugins, and the callables of the examples."""
    return Catalog(steps=STEPS)


def project(root: Path = FLOWS) -> Project:
    """The folder of the test flows as a project."""
    return Project.open(root, steps=STEPS)


def compile_source(text: str, *, context: ProjectContext | None = None) -> Compiled:
    """A flow without a project."""
    return compile_text(text.encode(), "example.flow.yaml", catalog=catalog(), project=context)


def codes(compiled: Compiled) -> list[str]:
    """The codes found, in order of the file."""
    return [finding.code for finding in compiled.diagnostics]
