"""Telegram's HTML, read as strictly as Telegram does, with the words it refuses in. Lengths are in UTF-16 units."""

import html
import re
from dataclasses import dataclass

ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
TAG = re.compile(r"<(/?)([a-zA-Z-]+)((?:\s+[a-zA-Z-]+(?:=(?:\"[^\"]*\"|'[^']*'|[^\s>\"']+))?)*)\s*>")
ATTRIBUTE = re.compile(r"([a-zA-Z-]+)(?:=(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?")
PLAIN_TAGS = {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "tg-spoiler"}
ATTRIBUTES = {"a": {"href"}, "span": {"class"}, "tg-emoji": {"emoji-id"}, "blockquote": {"expandable"}}


class CannotParse(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    tag: str
    attributes: tuple[tuple[str, str], ...]
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    text: str
    entities: tuple[Entity, ...]


def utf16(text: str) -> int:
    """Return the length in UTF-16 units; a lone surrogate raises, as Telegram would refuse it."""
    return len(text.encode("utf-16-le")) // 2


def parse(source: str) -> Parsed:
    """Raise CannotParse, in Telegram's words."""
    text, at, found, opened = "", 0, list[Entity](), list[tuple[str, dict[str, str], int]]()
    while at < len(source):
        if source[at] == "<":
            tag = TAG.match(source, at)
            if tag is None:
                raise CannotParse(f"Unsupported start tag at byte offset {_bytes(source, at)}")
            at_bytes, name = _bytes(source, at), tag[2].lower()
            if tag[1]:
                found.append(_closed(opened, name, at_bytes, text))
            else:
                opened.append((name, _attributes(name, tag[3], at_bytes), utf16(text)))
            at = tag.end()
        elif source[at] == "&" and (entity := ENTITY.match(source, at)):
            text, at = text + html.unescape(entity[0]), entity.end()
        else:
            text, at = text + source[at], at + 1
    if opened:
        raise CannotParse(f'Can\'t find end tag corresponding to start tag "{opened[-1][0]}"')
    return Parsed(text=text, entities=tuple(found))


def _closed(opened: list[tuple[str, dict[str, str], int]], name: str, at_bytes: int, text: str) -> Entity:
    if not opened:
        raise CannotParse(f"Unexpected end tag at byte offset {at_bytes}")
    expected, attributes, offset = opened.pop()
    if name != expected:
        raise CannotParse(f'Unmatched end tag at byte offset {at_bytes}, expected "</{expected}>", found "</{name}>"')
    return Entity(tag=name, attributes=tuple(attributes.items()), offset=offset, length=utf16(text) - offset)


def _attributes(name: str, text: str, at_bytes: int) -> dict[str, str]:
    given = {found[1].lower(): found[2] or found[3] or found[4] or "" for found in ATTRIBUTE.finditer(text)}
    of_code = name == "code" and set(given) <= {"class"}
    if not (name in PLAIN_TAGS and (not given or of_code)) and not set(given) <= ATTRIBUTES.get(name, set()):
        raise CannotParse(f'Unsupported start tag "{name}" at byte offset {at_bytes}')
    if name not in PLAIN_TAGS and name not in ATTRIBUTES:
        raise CannotParse(f'Unsupported start tag "{name}" at byte offset {at_bytes}')
    if name == "span" and given.get("class") != "tg-spoiler":
        raise CannotParse(f'Tag "span" must have class "tg-spoiler" at byte offset {at_bytes}')
    return {key: html.unescape(value) for key, value in given.items()}


def _bytes(source: str, at: int) -> int:
    return len(source[:at].encode("utf-8", "surrogatepass"))
