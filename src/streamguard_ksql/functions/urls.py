"""Parts of URLs, and the encoding of their parameters.

A text that is no URI by RFC 2396 has no parts: the result is NULL.

Source: the URLs section of the manual's scalar functions; the Java SE API documentation of java.net.URI and URLEncoder.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote_plus, unquote, unquote_plus

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import scalar

URL = "URL"
_SHAPE = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_LEGAL = re.compile(
    r"(?:[A-Za-z0-9_.!~*'();/?:@&=+$,#\[\]-]|%[0-9A-Fa-f]{2}|[^\x00-\xa0\u2000-\u200a\u2028\u2029\u3000])*"
)
_SERVER = re.compile(
    r"(?:[^@]*@)?"
    r"((?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?"
    r"|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+(?:%\w+)?\])"
    r"(?::(\d*))?"
)
Parts = dict[str, str | None]


@lru_cache(maxsize=256)
def _parts(url: str) -> Parts:
    """The raw parts; all of them missing where the text is no URI."""
    match = _SHAPE.fullmatch(url)
    if match is None or not _LEGAL.fullmatch(url):
        return {}
    scheme, authority, path, query, fragment = match.groups()
    if scheme is not None and not _SCHEME.fullmatch(scheme):
        return {}
    if scheme is not None and authority is None and not path.startswith("/"):
        return {"scheme": scheme, "fragment": fragment} if path else {}
    server = _SERVER.fullmatch(authority or "")
    host, port = server.groups() if server else (None, None)
    return {"scheme": scheme, "host": host, "port": port, "path": path, "query": query, "fragment": fragment}


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text, errors="replace")


def _register(name: str, part: str, description: str) -> None:
    def body(url: str) -> str | None:
        return _decoded(_parts(url).get(part))

    scalar(name, "(input VARCHAR) -> VARCHAR", category=URL, description=description)(body)


_register("URL_EXTRACT_PROTOCOL", "scheme", "The protocol of a URL.")
_register("URL_EXTRACT_HOST", "host", "The host name of a URL.")
_register("URL_EXTRACT_PATH", "path", "The decoded path of a URL, empty if it has none.")
_register("URL_EXTRACT_QUERY", "query", "The decoded query of a URL.")
_register("URL_EXTRACT_FRAGMENT", "fragment", "The decoded fragment of a URL.")


@scalar("URL_EXTRACT_PORT", "(input VARCHAR) -> INT", category=URL, description="The port of a URL, if it has one.")
def port(url: str) -> int | None:
    digits = _parts(url).get("port")
    return int(digits) if digits else None


@scalar(
    "URL_EXTRACT_PARAMETER",
    "(input VARCHAR, paramToFind VARCHAR) -> VARCHAR",
    category=URL,
    description="The decoded value of a parameter in the query of a URL.",
)
def parameter(url: str, name: str) -> str | None:
    query = _parts(url).get("query")
    for pair in (query or "").split("&"):
        key, _, value = pair.partition("=")
        if unquote_plus(key) == name:
            return unquote_plus(value)
    return None


@scalar(
    "URL_ENCODE_PARAM", "(input VARCHAR) -> VARCHAR", category=URL, description="The text as it may be part of a query."
)
def encode(text: str) -> str:
    return quote_plus(text, safe="*", errors="replace").replace("~", "%7E")


@scalar(
    "URL_DECODE_PARAM",
    "(input VARCHAR) -> VARCHAR",
    category=URL,
    description="The text that URL_ENCODE_PARAM encoded.",
)
def decode(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise EvaluationError(f"incomplete or wrong % sequence: {text!r}")
    return unquote_plus(text)
