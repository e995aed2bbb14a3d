"""A ksqlDB server, as the shell sees it: a handful of requests, and errors that are sentences."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import get_environ_proxies

from streamguard_ksql.shell.diagnosis import problem_of

MEDIA_TYPE = "application/vnd.ksql.v1+json"
CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 120.0


class ShellError(Exception):
    """An error whose message is shown to the person at the shell."""


class ServerError(ShellError):
    """A statement that the server refused: `statement` is the one it names, `entities` what went before it."""

    def __init__(self, message: str, statement: str = "", entities: list[Any] | None = None) -> None:
        super().__init__(message)
        self.statement = statement
        self.entities = entities or []


class Unreachable(ShellError):
    """No server answers at the address, or it refuses the login."""


class Digits(str):
    """A number with a fraction, in the digits that the server sent."""

    __slots__ = ()


@dataclass
class Client:
    """The requests that the shell makes; `user` and `password` where the server asks for them."""

    url: str
    user: str | None = None
    password: str | None = None
    ca_file: str | None = None
    """PEM: the authorities that sign the server's certificate; None means the usual ones."""
    last_sequence_number: int | None = None
    _http: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        user, password = login_of(self.url)
        self.url = normal_url(self.url)
        self.user, self.password = self.user or user, self.password or password
        self._http.headers.update({"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE})
        # What the environment says of proxies, with its exceptions in no_proxy, is not meant for a server on this machine;
        # nothing else of it is taken (a netrc, another authority).
        self._http.trust_env = False
        if not _is_loopback(urlsplit(self.url).hostname or ""):
            self._http.proxies.update(get_environ_proxies(self.url))
        if self.ca_file is not None:
            if not os.access(self.ca_file, os.R_OK):
                raise ShellError(f"Cannot read {self.ca_file}, the file of authorities.")
            self._http.verify = self.ca_file
        if self.user:
            # As bytes: requests would write text in Latin-1, and ksqlDB reads UTF-8 (RFC 7617).
            self._http.auth = HTTPBasicAuth(self.user.encode(), (self.password or "").encode())

    def close(self) -> None:
        self._http.close()

    def info(self) -> dict[str, Any]:
        """What the server says of itself: version, kafkaClusterId, ksqlServiceId, serverStatus."""
        return dict(self._get("/info").get("KsqlServerInfo", {}))

    def check_property(self, name: str) -> None:
        """ServerError if the server does not let a session set this property."""
        self._get(f"/is_valid_property/{quote(name, safe='')}")

    def execute(self, text: str, properties: Mapping[str, str], variables: Mapping[str, str]) -> list[dict[str, Any]]:
        """Send statements to /ksql; the entities of the answer. ServerError for a refusal."""
        body = self._body(text, properties, variables)
        if self.last_sequence_number is not None:
            body["commandSequenceNumber"] = self.last_sequence_number
        response = self._request("POST", "/ksql", body, stream=False)
        entities: list[dict[str, Any]] = _decode(response)
        for entity in entities:
            number = entity.get("commandSequenceNumber")
            if isinstance(number, int) and number >= 0:
                self.last_sequence_number = number
        return entities

    def query(
        self, text: str, properties: Mapping[str, str], variables: Mapping[str, str], timeout_s: float | None = None
    ) -> QueryLines:
        """Send a SELECT or PRINT to /query; its lines as they come. ServerError for a refusal.

        `timeout_s` bounds the wait for each line; without it a push query may be silent without limit.
        """
        response = self._request("POST", "/query", self._body(text, properties, variables), True, timeout_s)
        return QueryLines(response, may_be_silent=timeout_s is not None)

    def _body(self, text: str, properties: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, Any]:
        return {"ksql": text, "streamsProperties": dict(properties), "sessionVariables": dict(variables)}

    def _get(self, path: str) -> Any:
        return _decode(self._request("GET", path, None, stream=False))

    def _request(
        self, method: str, path: str, body: Any, stream: bool, read_timeout_s: float | None = STATEMENT_TIMEOUT_S
    ) -> requests.Response:
        try:
            response = self._http.request(
                method,
                self.url + path,
                data=None if body is None else json.dumps(body).encode(),
                stream=stream,
                timeout=(CONNECT_TIMEOUT_S, read_timeout_s),
            )
        except requests.ConnectionError as error:
            problem = problem_of(self.url, error, "name its file in ssl.truststore.location of --config-file")
            why = problem.reason if problem.permanent else "is it running, and is the address right?"
            raise Unreachable(f"No ksqlDB server answers at {self.url}: {why}") from None
        except requests.Timeout:
            raise Unreachable(f"The ksqlDB server at {self.url} did not answer in time.") from None
        except requests.RequestException as error:
            raise ShellError(f"Cannot ask {self.url}: {error}") from None
        if response.status_code == 401:
            who = f"the user {self.user}" if self.user else "a request without a login"
            raise Unreachable(f"The ksqlDB server at {self.url} refuses {who}: give -u NAME and the right password.")
        if response.status_code >= 400:
            raise _refusal(response)
        return response


def normal_url(url: str) -> str:
    """The server's address without a slash at the end, and without a login; ShellError for what is no HTTP address."""
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    address = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or not address:
        shown = url.rpartition("@")[2]
        raise ShellError(f"{shown!r} is not the address of a server: it looks like http://127.0.0.1:8088.")
    return parts._replace(netloc=address).geturl().rstrip("/")


def login_of(url: str) -> tuple[str | None, str | None]:
    """User and password of an address such as https://user:password@host:8088; ShellError for what is no address."""
    normal_url(url)
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return unquote(parts.username) if parts.username else None, unquote(parts.password) if parts.password else None


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _decode(response: requests.Response) -> Any:
    try:
        return json.loads(response.content, parse_float=Digits)
    except ValueError:
        raise ShellError(f"{response.url} does not answer as a ksqlDB server does.") from None


def _refusal(response: requests.Response) -> ShellError:
    try:
        body = json.loads(response.content)
    except ValueError:
        return ShellError(f"{response.url} answered with HTTP status {response.status_code}.")
    if not isinstance(body, dict):
        return ShellError(f"{response.url} answered with HTTP status {response.status_code}.")
    message = body.get("message") or f"HTTP status {response.status_code}"
    return ServerError(str(message), str(body.get("statementText") or "").strip(), body.get("entities"))


class QueryLines:
    """The answer of /query, line by line, each as soon as it is there; `close` ends the query on the server."""

    def __init__(self, response: requests.Response, *, may_be_silent: bool = False) -> None:
        self._response = response
        self._may_be_silent = may_be_silent

    def __iter__(self) -> Iterator[str]:
        rest = b""
        try:
            for chunk in self._response.iter_content(chunk_size=None):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace")
        except (requests.RequestException, OSError) as error:
            if self._may_be_silent and "timed out" in str(error).lower():
                return
            raise ShellError("The server broke off the answer.") from None
        if rest:
            yield rest.decode(errors="replace")

    def close(self) -> None:
        self._response.close()


def parse_line(line: str) -> tuple[str, dict[str, Any]] | None:
    """A line of the JSON array that /query streams: its object as text and parsed; None for a line that has none."""
    text = line.strip().removeprefix("[").removesuffix(",").strip()
    for candidate in (text, text.removesuffix("]")):
        if not candidate:
            return None
        try:
            value = json.loads(candidate, parse_float=Digits)
        except ValueError:
            continue
        return (candidate, value) if isinstance(value, dict) else None
    raise ShellError(f"The server sent a line that is not JSON: {line[:200]}")
