"""The OpenAPI document of the API, made from the endpoints and their models.

Source: OpenAPI Specification 3.1.0; JSON Schema 2020-12 (by pydantic).
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from streamguard.desk.api.endpoint import ENDPOINTS, READS, ROOT, Endpoint, json
from streamguard.desk.site import Visit, route

_REF = "#/components/schemas/{model}"
_REFUSALS = {
    "401": "no valid token",
    "403": "the role or the scope of the token does not allow it",
    "404": "there is nothing of this name",
    "409": "it cannot be done now; the sentence says why",
    "413": "the body is too large",
    "415": "the body is not JSON",
    "422": "a field is wrong; the sentence says which",
    "400": "the body is not JSON",
    "503": "the database, Kafka or the SQL server is unavailable",
}


@route("GET", f"{ROOT}/openapi.json", needs=None)
def openapi(visit: Visit) -> Response:
    """The document, for everybody."""
    return json(document(visit.desk.renderer.url(ROOT)))


def document(server: str) -> dict[str, Any]:
    """The OpenAPI document; `server` is the address of the API."""
    models: list[type[BaseModel]] = [m for e in ENDPOINTS for m in (e.takes, e.gives) if m is not None]
    inputs = [(model, "validation") for model in dict.fromkeys(models)]
    _, schemas = models_json_schema(inputs, ref_template=_REF)  # type: ignore[arg-type]
    definitions = schemas.get("$defs", {})
    definitions["Refusal"] = {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
        "additionalProperties": False,
    }
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        shown = re.sub(r"\{(\w+):path\}", r"{\1}", endpoint.path)
        paths.setdefault(shown, {})[endpoint.method.lower()] = _operation(endpoint, definitions)
    return {
        "openapi": "3.1.0",
        "info": {"title": "StreamGuard", "version": version("streamguard")},
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "components": {
            "schemas": definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "paths": paths,
    }


def _operation(endpoint: Endpoint, definitions: dict[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)", endpoint.path)
    ]
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()} {endpoint.path}",
        "summary": endpoint.does,
        "description": f"Needs the permission `{endpoint.needs}`.",
        "responses": {
            "200": {"description": "done", "content": _answer(endpoint)},
            **{status: {"description": said, "content": _refusal()} for status, said in _REFUSALS.items()},
        },
    }
    if endpoint.method in READS:
        schema = definitions.get(endpoint.takes.__name__, {})
        parameters += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": found}
            for name, found in schema.get("properties", {}).items()
        ]
    else:
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 200}}
        )
        operation["requestBody"] = {"required": True, "content": _content(endpoint.takes)}
    operation["parameters"] = parameters
    return operation


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    return {endpoint.streams: {"schema": {"type": "string"}}} if endpoint.streams else _content(endpoint.gives)


def _content(model: type[BaseModel] | None) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=model.__name__)} if model is not None else {}
    return {"application/json": {"schema": schema}}


def _refusal() -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model="Refusal")}}}
