"""What schemathesis does not check by itself, and what it must not take from itself."""
import json
import os
import uuid

import schemathesis

KEPT = {name for name in os.environ.get("KEPT_IDS", "").split(",") if name}

# In schemas/examples.ts.
EXAMPLE_KEY = "7d9f2b1e-0c6a-4a55-8f2b-5b7c1d2e3f40"
EXAMPLE_TAG = '"1.4"'

# Of HTTP itself, of the connection, of every answer: no operation declares them.
GENERAL = {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "transfer-encoding",
    "vary",
    "x-content-type-options",
}


@schemathesis.serializer("application/x-ndjson")
def lines_of(ctx, value):
    """An object on each line; what is no list goes as it is drawn."""
    if isinstance(value, bytes):
        return value
    values = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(one)}\n" for one in values).encode()


@schemathesis.deserializer("application/x-ndjson")
def from_lines(ctx, response):
    return [json.loads(line) for line in response.content.splitlines() if line]


@schemathesis.check
def declared_headers(ctx, response, case):
    """Every header of an answer is declared for its status."""
    raw = case.operation.definition.raw
    declared = raw["responses"].get(str(response.status_code))
    # An answer to another method is of no operation; a status that is not declared is told by another check.
    if declared is None or case.method.upper() != case.operation.method.upper():
        return
    if "$ref" in declared:
        name = declared["$ref"].rsplit("/", 1)[1]
        declared = case.operation.schema.raw_schema["components"]["responses"][name]
    known = GENERAL | {name.lower() for name in declared.get("headers", {})}
    undeclared = sorted(name for name in response.headers if name.lower() not in known)
    assert not undeclared, f"Undeclared headers of {response.status_code}: {undeclared}"


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """
    The token that all comes with stays, and what is given to it. What the document shows as an example is good once,
    and what no answer gave is never: neither is asked for again and again.
    """
    if (case.path_parameters or {}).get("id") in KEPT:
        case.path_parameters["id"] = str(uuid.uuid4())
    headers = case.headers or {}
    if headers.get("Idempotency-Key") == EXAMPLE_KEY:
        headers["Idempotency-Key"] = str(uuid.uuid4())
    for name in ("If-Match", "If-None-Match"):
        if headers.get(name) == EXAMPLE_TAG:
            headers.pop(name)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if (case.query or {}).get("cursor") is not None and case.meta.phase.name.value != "stateful":
        case.query.pop("cursor")
    body = case.body
    if isinstance(body, dict):
        # Of providers there are few, and an endpoint that is drawn is never one that may be called.
        if body.get("provider") is not None:
            body["provider"] = "default"
        if body.get("endpoint") is not None:
            body["endpoint"] = None
