"""From what a model said to values: the JSON in its reply, validated. A cut document is never completed.

Tolerated because it is unambiguous: prose or fences around the object, thinking before it, raw line breaks in strings.
Everything else goes back to the model with the reason.
"""

import json
import re
import unicodedata
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, StringConstraints, ValidationError

from bottega.agents.types import Repair, UnusableReply
from bottega.llm.types import Completion, FinishReason

Reply = TypeVar("Reply", bound=BaseModel)

_THOUGHTS = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OBJECT = re.compile(r"^\{", re.MULTILINE)
_SCHEMA_WORDS = ("type", "enum")
_MAX_OBJECTS, _MAX_FAULTS = 20, 8


def _clean(value: object) -> object:
    """Strip a text, and drop from it what no database wants: control characters, halves of surrogate pairs."""
    if not isinstance(value, str):
        return value
    return "".join(c for c in value if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"}).strip()


Line = Annotated[str, BeforeValidator(_clean), StringConstraints(min_length=1)]
Prose = Annotated[str, BeforeValidator(_clean)]


def output_room(tokens: int, *, repair: Repair | None) -> int:
    """Return the output tokens to allow: twice as many after a reply that was cut.

    A reasoning model's thoughts count against the limit, and how long it thinks cannot be known beforehand.
    """
    return 2 * tokens if repair and repair.truncated else tokens


def usable_text(completion: Completion) -> str:
    """Return the whole text of a reply that came to its own end, or raise UnusableReply."""
    if completion.finish is FinishReason.LENGTH:
        raise UnusableReply(
            f"Your reply was cut at the output limit, after {completion.usage.output_tokens} tokens, and was not used. "
            "Reply again, complete but shorter: deliberate briefly and leave out what the format does not ask for.",
            reply=completion.text,
            truncated=True,
        )
    if completion.finish is FinishReason.REFUSED:
        raise UnusableReply("The reply was a refusal where the format below was asked for.", reply=completion.text)
    if "\0" in completion.text or not _is_unicode(completion.text):
        raise UnusableReply(
            "Your reply has NUL characters or broken Unicode in it, which no text file can hold. Write the reply again "
            "and spell such characters as escapes of the language, such as \\0.",
            reply=completion.text,
        )
    if not completion.text.strip():
        raise UnusableReply("Your reply was empty.", reply=completion.text)
    return completion.text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(text: str, form: type[Reply]) -> Reply:
    """Return the JSON object of a reply as `form`, or raise UnusableReply saying what is wrong with it."""
    try:
        return form.model_validate(_find_object(text))
    except ValidationError as error:
        faults = [f"- {_place(fault['loc'])}: {fault['msg']}" for fault in error.errors()[:_MAX_FAULTS]]
        raise UnusableReply("The JSON does not have the form asked for:\n" + "\n".join(faults), reply=text) from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the object"


def _find_object(text: str) -> object:
    plain = _THOUGHTS.sub("", text).strip()
    first_error: json.JSONDecodeError | None = None
    decoder = json.JSONDecoder(strict=False)
    for start in _starts(plain):
        try:
            return decoder.raw_decode(plain, start)[0]
        except json.JSONDecodeError as error:
            if error.pos >= len(plain) or error.msg.startswith("Unterminated string"):
                raise UnusableReply(
                    "The JSON object ends before it is complete; nothing of it was used.", reply=text, truncated=True
                ) from error
            first_error = first_error or error
        except RecursionError:
            break
    if first_error is None:
        raise UnusableReply("Your reply has no JSON object; reply with one and nothing else.", reply=text)
    near = plain[max(first_error.pos - 30, 0) : first_error.pos + 30]
    raise UnusableReply(f"The JSON is not valid: {first_error.msg}, near {near!r}.", reply=text) from first_error


def _starts(text: str) -> list[int]:
    """Return where an object may begin: the first brace, and braces that begin a line. Inner objects are indented."""
    lines = [found.start() for found in _OBJECT.finditer(text)]
    first = text.find("{")
    return sorted({first, *lines} - {-1})[:_MAX_OBJECTS]


@cache  # a tenth of a step's work, and always the same
def schema_of(form: type[BaseModel]) -> dict[str, Any]:
    """Return a JSON Schema every provider accepts: no references, no limits, every property required, in order."""
    full = form.model_json_schema()
    return _plain(full, full.get("$defs", {}))


def _plain(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return _plain(definitions[node["$ref"].rpartition("/")[2]], definitions)
    plain: dict[str, Any] = {word: node[word] for word in _SCHEMA_WORDS if word in node}
    if "properties" in node:
        plain["properties"] = {name: _plain(part, definitions) for name, part in node["properties"].items()}
        plain["required"] = list(node["properties"])
        plain["additionalProperties"] = False
    if "items" in node:
        plain["items"] = _plain(node["items"], definitions)
    return plain
