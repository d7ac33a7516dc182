"""The document is OpenAPI 3.1, and of the operations that there are."""

from __future__ import annotations

import json
import re
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from imgproxy.errors import CapacityError
from imgproxy.web.api.account import Accounts
from imgproxy.web.api.docs import page
from imgproxy.web.api.openapi import document
from imgproxy.web.api.operation import Operation
from imgproxy.web.api.pictures import Pictures
from imgproxy.web.api.processing import Processing
from imgproxy.web.api.promises import Promises
from imgproxy.web.api.templates import TemplatesApi
from tests.docs import leaves


@pytest.fixture(scope="module")
def operations() -> tuple[Operation, ...]:
    nothing: Any = None
    return (
        *Pictures(nothing, nothing, nothing, nothing, nothing, nothing).operations(),
        *TemplatesApi(nothing, nothing, nothing, nothing).operations(),
        *Promises(nothing, nothing, nothing, nothing, nothing).operations(),
        *Accounts(nothing).operations(),
        *Processing(nothing, nothing, nothing, nothing, "").operations(),
    )


@pytest.fixture(scope="module")
def told(operations: tuple[Operation, ...]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(document(operations))
    return made


def test_it_is_valid(told: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(told).iter_errors()] == []


def test_every_operation_is_in_it(told: dict[str, Any], operations: tuple[Operation, ...]) -> None:
    said = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert said == {(operation.method, operation.path) for operation in operations}
    assert len({operation.id for operation in operations}) == len(operations)


def test_no_schema_is_there_for_nothing(told: dict[str, Any]) -> None:
    text = json.dumps(told)
    assert [name for name in told["components"]["schemas"] if f"#/components/schemas/{name}" not in text] == []


def test_bounds_of_the_types_are_bounds_of_the_document(told: dict[str, Any]) -> None:
    parameters = {each["name"]: each for each in told["paths"]["/v1/images"]["get"]["parameters"]}
    assert parameters["limit"]["schema"]["maximum"] == 100
    assert parameters["tags"]["schema"]["maxItems"] == 20
    assert (parameters["tags"]["style"], parameters["tags"]["explode"]) == ("form", False)
    assert {"401", "403", "429", "503"} <= set(told["paths"]["/v1/images/{id}"]["get"]["responses"])


def test_every_parameter_says_what_it_means(told: dict[str, Any]) -> None:
    parameters = [
        (path, each) for path, methods in told["paths"].items() for one in methods.values() for each in one["parameters"]
    ]
    assert [(path, each["name"]) for path, each in parameters if not each.get("description")] == []
    # What a list, or a choice of one thing or nothing, is for is said of it, not of what is in it.
    deleting = {each["name"]: each["description"] for each in told["paths"]["/v1/images"]["delete"]["parameters"]}
    assert deleting["tag"] == "All pictures that have this tag"
    shown = page(json.dumps(told).encode())
    assert [each["name"] for _, each in parameters if escape(each["description"].partition("`")[0]) not in shown] == []


def test_the_codes_are_those_that_are_raised(told: dict[str, Any]) -> None:
    responses = [
        answer for methods in told["paths"].values() for one in methods.values() for answer in one["responses"].items()
    ]
    said = {code for status, answer in responses if status >= "400" for code in re.findall("`(.*?)`", answer["description"])}
    raised = {leaf.code for leaf in (*leaves(), CapacityError)}
    assert said - raised == set()


def test_no_description_is_indented(told: dict[str, Any]) -> None:
    """In Markdown that would be code."""
    described = [schema["description"] for schema in told["components"]["schemas"].values() if "description" in schema]
    assert [text for text in described if "\n " in text] == []


def test_generators_of_clients_understand_it(told: dict[str, Any]) -> None:
    """Go and Rust have no lookahead in patterns; openapi-python-client no constants in headers or enums of truth values."""
    text = json.dumps(told)
    assert "(?" not in text
    assert told["components"]["schemas"]["Success_PictureAnswer_"]["properties"]["success"]["const"] is True
    assert '"enum": [true]' not in text
    headers = [
        each for path in told["paths"].values() for one in path.values() for each in one["parameters"] if each["in"] == "header"
    ]
    assert {each["name"] for each in headers} == {"If-Match", "Prefer"}
    assert [each["name"] for each in headers if "const" in each["schema"] or "enum" in each["schema"]] == []


def test_values_of_a_template_are_parameters(told: dict[str, Any]) -> None:
    parameters = told["paths"]["/v1/templates/{template}/preview"]["get"]["parameters"]
    values = next(each for each in parameters if each["schema"].get("type") == "object")
    assert (values["in"], values["style"], values["explode"]) == ("query", "form", True)


def test_old_ways_are_said_to_be_old(told: dict[str, Any]) -> None:
    old = {path for path, methods in told["paths"].items() if methods.get("get", {}).get("deprecated")}
    assert old == {f"/v1/images/{{ids}}/{verb}" for verb in ("delete", "add_tags", "remove_tags")}


class Reader(HTMLParser):
    """What a page has: the ids in it, where its links lead, and what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.scripts += tag == "script"


def test_the_page_has_every_operation_and_needs_nobody_else(operations: tuple[Operation, ...]) -> None:
    reader = Reader()
    reader.feed(page(document(operations)))
    assert {operation.id for operation in operations} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert {link for link in reader.links if link != "/openapi.json"} <= {f"#{id}" for id in reader.ids}
    assert reader.scripts == 0
