"""Everything that /openapi.json allows, and much that it does not, is asked of the real server: it answers as it says there."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from imgproxy.web.api.account import Accounts
from imgproxy.web.api.openapi import document
from imgproxy.web.api.pictures import Pictures
from imgproxy.web.api.processing import Processing
from imgproxy.web.api.promises import Promises
from imgproxy.web.api.templates import TemplatesApi
from tests.e2e.test_hosting import Hosting, hosting

__all__ = ["hosting"]

CHECKS: list[Any] = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

NOTHING: Any = None
OPERATIONS = (
    *Pictures(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING).operations(),
    *TemplatesApi(NOTHING, NOTHING, NOTHING, NOTHING).operations(),
    *Promises(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING).operations(),
    *Accounts(NOTHING).operations(),
    *Processing(NOTHING, NOTHING, NOTHING, NOTHING, "").operations(),
)
SCHEMA = schemathesis.openapi.from_dict(json.loads(document(OPERATIONS)))


@SCHEMA.parametrize()
@settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_it_answers_as_it_says(case: schemathesis.Case, hosting: Hosting) -> None:
    case.call_and_validate(hosting.server.public, headers={"X-API-Key": hosting.key}, checks=CHECKS)
