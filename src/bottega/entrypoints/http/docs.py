"""`docs/api.md`, made from the API's own description: `python -m bottega.entrypoints.http.docs > docs/api.md`.

A test compares the two, so that the page says what the server does.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, cast

from fastapi import FastAPI

from bottega.access.service import Access
from bottega.entrypoints.http.api.house import House
from bottega.entrypoints.http.api.openapi import add_api, describe
from bottega.entrypoints.http.signing_in import sign_in_routes
from bottega.entrypoints.http.tokens import token_routes

_HEAD = """# The HTTP API

Made from the server's own description (`GET /openapi.json`) by `make docs-api`; do not edit it by hand. A page to try
it out is not served: it would load scripts from elsewhere. Any OpenAPI tool reads the description.

{about}

## In five minutes

With an installation that has keys and prices for its models ([models.md](models.md)); commands are in `.venv/bin`.

```sh
bottega serve &
bottega credits grant 500
TOKEN=$(bottega token create laptop)     # --scope for what else it is to do: bottega token create --help
api() {{ curl -sS -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" "$@"; }}
URL=http://127.0.0.1:8080

api -H "Idempotency-Key: first" $URL/v1/projects \\
  -d '{{"brief": "A command line tool that counts words, tested, standard library only."}}'
PROJECT=...                              # `id` of the answer

api $URL/orchestrate/run-loop -d '{{"project_id": "'$PROJECT'"}}'
```

Call the run loop again and again: it waits up to 25 seconds for what comes next, and says `completed` at the end. The
first time it says whether there are questions; while some are open it is 409. Answer them, with the ids as listed:

```sh
api $URL/v1/projects/$PROJECT/questions
api $URL/v1/projects/$PROJECT/answers -d '{{"answers": [{{"question_id": "...", "text": "No"}}]}}'
```

Then it plans, and says how many tasks for how many credits. Calling it once more is the go to that plan and its price
(as is `POST .../plan/approve`); look at `GET .../tasks` before. 402 says that credits are missing, and any other 409
what is wanted. Meanwhile, in another terminal, and at the end:

```sh
api -N "$URL/v1/projects/$PROJECT/events?until_end=true"
api $URL/v1/projects/$PROJECT/receipt
api $URL/v1/projects/$PROJECT/archive -o project.zip
```

## Errors

Every error is a problem (`application/problem+json`):

```json
{problem}
```

Act on `code`; show `detail`; keep `request_id` for whoever runs the server. 429 and 503 say in `Retry-After` when to
come again; sent with its `Idempotency-Key`, nothing is done twice. What cannot be read is 400, what can be
read and cannot be meant is 422, except that `POST /orchestrate/run-loop` says 400 of both.
"""
_PROBLEM = {
    "type": "urn:bottega:problem:nothing_to_do",
    "title": "Conflict",
    "status": 409,
    "detail": "There is no plan waiting for a go.",
    "code": "nothing_to_do",
    "request_id": "9f0c...",
}


def described() -> dict[str, Any]:
    """Return the description of the API, which needs nothing that a server needs."""
    app = FastAPI(openapi_url=None)
    nobody = cast("Access", None)  # routes are told of it when they are asked, and nobody asks here
    app.include_router(sign_in_routes(nobody))
    app.include_router(token_routes(nobody))
    add_api(app, cast("House", None))
    return describe(app)


def page(told: Mapping[str, Any]) -> str:
    problem = json.dumps(_PROBLEM, indent=2)
    parts = [_HEAD.format(about=told["info"]["description"], problem=problem)]
    by_tag: dict[str, list[str]] = {}
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            (tag,) = operation["tags"]
            by_tag.setdefault(tag, []).append("\n".join(_operation(method, path, operation, told)))
    parts += [f"## {tag}\n\n" + "\n\n".join(routes) + "\n" for tag, routes in by_tag.items()]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    yield operation["description"].strip() + "\n"
    scopes = [scope for wanted in operation.get("security", ()) for scope in next(iter(wanted.values()))]
    yield f"`{operation['operationId']}`" + (f", scope `{' '.join(scopes)}`" if scopes else ", without a token")
    for parameter in operation.get("parameters", ()):
        about = f": {parameter['description']}" if "description" in parameter else ""
        needed = "" if parameter.get("required") else ", optional"
        yield f"- `{parameter['name']}` ({parameter['in']}{needed}){about}"
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        yield f"- takes {_shape(content['schema'], told)}"
    good = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    for status, answer in good.items():
        shapes = [
            _shape(each["schema"], told) if "schema" in each else f"`{media_type}`"
            for media_type, each in answer.get("content", {}).items()
        ]
        yield f"- {status}: {' or '.join(shapes) or 'nothing'}"
    yield f"- errors: {', '.join(sorted(operation['responses'].keys() - good.keys()))}"


def _shape(schema: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """Return the fields of what is sent, one level deep."""
    if "$ref" not in schema:
        return str(schema.get("format") or schema.get("type") or "any JSON")
    found = told["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    needed = set(found.get("required", ()))
    names = [name if name in needed else f"{name}?" for name in found.get("properties", ())]
    return f"`{{{', '.join(names)}}}`" if names else "an object"


if __name__ == "__main__":
    sys.stdout.write(page(described()))
