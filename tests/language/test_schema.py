"""The JSON Schema for editors says what the parser says, as far as a schema can."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jsonschema
import pytest

from orchestrator.diagnostics import has_errors
from orchestrator.language.codes_reading import READING_CODES
from orchestrator.language.codes_shape import SHAPE_CODES
from orchestrator.language.flow_reader import parse_flow
from orchestrator.language.nodes import PlainData, to_plain
from orchestrator.language.schema_files import draft_07_text, flow_schema, schema_folder
from tests.language.mutations import corpus, mutate
from tests.language.support import read

FLOWS = sorted((Path(__file__).parent / "flows").glob("*.flow.yaml"))
MODERN = jsonschema.Draft202012Validator(flow_schema())
DRAFT_07 = jsonschema.Draft7Validator(json.loads(draft_07_text()))
# What a schema cannot see: other places of the file, time zones, patterns, what an expression holds.
ONLY_PARSER = {"FLW210", "FLW211", "FLW212", "FLW213", "FLW214", "FLW217", "FLW220", "FLW221", "FLW223", "FLW225"}


def plain(text: str) -> PlainData:
    root = read(text).root
    assert root is not None
    return to_plain(root)


def test_both_editions_are_valid_schemas() -> None:
    jsonschema.Draft202012Validator.check_schema(flow_schema())
    jsonschema.Draft7Validator.check_schema(json.loads(draft_07_text()))


def test_the_draft_07_edition_is_made_of_the_other() -> None:
    assert (schema_folder() / "flow.draft-07.schema.json").read_text("utf-8") == draft_07_text()


def test_there_is_no_choice_at_the_top() -> None:
    assert not {"oneOf", "anyOf", "allOf"} & flow_schema().keys()


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.name)
def test_the_example_flows_validate(file: Path) -> None:
    value = plain(file.read_text("utf-8"))
    assert list(MODERN.iter_errors(value)) == []
    assert list(DRAFT_07.iter_errors(value)) == []


@pytest.mark.parametrize("code", [*READING_CODES, *SHAPE_CODES])
def test_the_good_examples_of_the_codes_validate(code: str) -> None:
    info = {**READING_CODES, **SHAPE_CODES}[code]
    assert list(MODERN.iter_errors(plain(info.good))) == []


@pytest.mark.parametrize("code", sorted(SHAPE_CODES.keys() - ONLY_PARSER))
def test_the_bad_examples_do_not(code: str) -> None:
    value = plain(SHAPE_CODES[code].bad)
    assert list(MODERN.iter_errors(value)) != []
    assert list(DRAFT_07.iter_errors(value)) != []


def test_what_the_parser_accepts_validates_in_both_editions() -> None:
    rng = random.Random(5)
    texts = corpus()
    accepted = 0
    for _ in range(4000):
        parsed = parse_flow(mutate(rng.choice(texts), rng, texts).encode(), "f")
        if parsed.tree is None or has_errors(parsed.diagnostics):
            continue
        accepted += 1
        value = to_plain(parsed.tree)
        assert list(MODERN.iter_errors(value)) == []
        assert DRAFT_07.is_valid(value)
    assert accepted > 100


def test_a_misspelt_key_is_one_precise_error_of_the_schema() -> None:
    value = plain("flow: a\nsteps:\n  w:\n    on: Start\n    call: http.get\n    retry: {mx: 3}\n")
    (error,) = MODERN.iter_errors(value)
    assert (list(error.absolute_path), "'mx'" in error.message) == (["steps", "w", "retry"], True)
