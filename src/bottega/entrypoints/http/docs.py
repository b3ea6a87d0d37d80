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

With an installation that has keys and prices for its models ([models.md](models.md)); commands are in `.venv/bin`. The
server is asked as whoever made the token. `bottega serve` works on what is begun; the loop only says go and waits.

```sh
bottega serve &
export TOKEN=$(bottega token create laptop) AT=http://127.0.0.1:8080
api() {{ curl -sS -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" "$@"; }}
field() {{ python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }}

PROJECT=$(api -H "Idempotency-Key: first" $AT/v1/projects \\
  -d '{{"brief": "A command line tool that counts words, tested, standard library only."}}' | field id)

# Again until it says `completed`. To ask for work is to say go to the plan: to see it first, read the tasks.
until api -d "{{\\"project_id\\": \\"$PROJECT\\"}}" $AT/orchestrate/run-loop | tee /dev/stderr | grep -q completed
do sleep 1; done

api "$AT/v1/projects/$PROJECT/events?until_end=true"  # what happened, as it happens
api $AT/v1/projects/$PROJECT/archive -o project.zip
api $AT/v1/projects/$PROJECT/receipt
```

Where the Architect asks first, the loop says how many questions there are, and is 409 while some are open. Answer them
with the ids as they are listed:

```sh
api $AT/v1/projects/$PROJECT/questions
api $AT/v1/projects/$PROJECT/answers -d '{{"answers": [{{"question_id": "...", "text": "No"}}]}}'
```

402 says that credits are missing (`bottega credits grant 500`, or `/v1/credits`), and any other 409 what is wanted. A
token reads and writes projects and reads credits, unless `--scope` says what it is to do instead.

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
    shown: dict[str, str] = {}
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            (tag,) = operation["tags"]
            by_tag.setdefault(tag, []).append("\n".join(_operation(method, path, operation, told, shown=shown)))
    parts += [f"## {tag}\n\n" + "\n\n".join(routes) + "\n" for tag, routes in by_tag.items()]
    return "\n".join(parts)


def _operation(
    method: str, path: str, operation: Mapping[str, Any], told: Mapping[str, Any], *, shown: dict[str, str]
) -> Iterator[str]:
    """Yield lines. `shown` says where an answer of some kind is to be seen."""
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
        yield f"- takes {_shape(content['schema'], told)}{_shown(content)}"
    good = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    for status, answer in good.items():
        yield f"- {status}: {_answer(answer, shown, where=f'{method.upper()} {path}')}"
    yield f"- errors: {', '.join(sorted(operation['responses'].keys() - good.keys()))}"


def _answer(answer: Mapping[str, Any], shown: dict[str, str], *, where: str) -> str:
    """Show an answer of each kind once, as it really was; from then on, only where it is shown."""
    parts = []
    for media_type, content in answer.get("content", {}).items():
        kind = content.get("schema", {}).get("$ref", "")
        if "example" not in content:
            parts.append(f"`{media_type}`")
        elif shown.setdefault(kind, where) != where:
            parts.append(f"as `{shown[kind]}` answers")
        else:
            example = content["example"]
            text = example.strip() if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
            parts.append(f"\n\n```json\n{text}\n```\n" if kind else f"\n\n```\n{text}\n```\n")
    return " or ".join(parts) or "nothing"


def _shown(content: Mapping[str, Any]) -> str:
    return f", as in `{json.dumps(content['example'], ensure_ascii=False)}`" if "example" in content else ""


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
