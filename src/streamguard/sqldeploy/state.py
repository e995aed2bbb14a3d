"""The ksqlDB server as a deploy sees it: send a statement, list what is there. REST as docs' ksql-endpoint has it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import requests

from streamguard.config.ksqldb import Ksqldb
from streamguard.sqldeploy.script import DeployError
from streamguard_ksql.shell.diagnosis import Problem, problem_of

STREAMS_PROPERTIES = {
    # Rules read the topic from its beginning, and every event by itself: the cache would merge those within a commit.
    "ksql.streams.auto.offset.reset": "earliest",
    "ksql.streams.cache.max.bytes.buffering": "0",
}
_HEADERS = {"Accept": "application/vnd.ksql.v1+json", "Content-Type": "application/vnd.ksql.v1+json"}
_DEFINITION_WAIT_S = 30.0


class Rejected(RuntimeError):
    """The server answered with an error; the text is its message."""


_CREATES_TABLE = re.compile(r"\s*CREATE\s+(OR\s+REPLACE\s+)?(SOURCE\s+)?TABLE\b", re.IGNORECASE)
_SELECTS = re.compile(r"\bAS\s+SELECT\b", re.IGNORECASE)


def repeatable(statement: str) -> str:
    """A statement as DESCRIBE shows it, without the property that it shows of every table, and that CREATE TABLE rejects."""
    if not _CREATES_TABLE.match(statement) or _SELECTS.search(statement):
        return statement
    return re.sub(r"\bCLEANUP_POLICY='[a-z,]*',? ?", "", statement, count=1)


class Server:
    """One ksqlDB server. Every method raises DeployError when it cannot be reached and Rejected when it returns an error."""

    def __init__(self, server: Ksqldb | str, timeout_s: float = 60.0) -> None:
        self._server = Ksqldb.of(server)
        self._url = self._server.url
        self._timeout_s = timeout_s
        self._session = self._server.session()
        self._last_command = -1

    def execute(self, sql: str, variables: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Run statements; returns the server's entities. Waits for the commands before it to be done."""
        body: dict[str, Any] = {
            "ksql": sql,
            "streamsProperties": STREAMS_PROPERTIES,
            "sessionVariables": variables or {},
        }
        if self._last_command >= 0:
            body["commandSequenceNumber"] = self._last_command
        try:
            answer = self._session.post(f"{self._url}/ksql", json=body, headers=_HEADERS, timeout=self._timeout_s)
            entities = answer.json()
        except requests.JSONDecodeError:
            raise DeployError(refused_login(self._server, answer) or self._is_none()) from None
        except requests.RequestException as error:
            raise DeployError(str(unreachable(self._server, error))) from None
        if refused := refused_login(self._server, answer):
            raise DeployError(refused)
        if answer.status_code != 200 or not isinstance(entities, list):
            message = entities.get("message") if isinstance(entities, dict) else None
            raise Rejected(str(message or f"HTTP {answer.status_code}"))
        for entity in entities:
            self._last_command = max(self._last_command, int(entity.get("commandSequenceNumber") or -1))
            _check_status(entity)
        return entities

    def definition(self, name: str) -> str | None:
        """The statement that made a stream or table, as the server takes it again; None if there is none of this name."""
        try:
            [entity] = self.execute(f"DESCRIBE `{name}`;")
        except Rejected as error:
            if "Could not find" in str(error):
                return None
            raise
        return repeatable(str(entity["sourceDescription"]["statement"]))

    def queries(self) -> dict[str, str]:
        """The persistent queries: id in upper case to the statement each runs."""
        [entity] = self.execute("SHOW QUERIES;")
        return {str(query["id"]).upper(): str(query["queryString"]) for query in entity["queries"]}

    def running(self) -> list[dict[str, Any]]:
        """The persistent queries as SHOW QUERIES lists them."""
        [entity] = self.execute("SHOW QUERIES;")
        return [query for query in entity["queries"] if query["queryType"] == "PERSISTENT"]

    def filled(self) -> set[str]:
        """The streams and tables that a query of their own fills, by CREATE ... AS SELECT."""
        creating = (q for q in self.running() if str(q["queryString"]).lstrip().upper().startswith("CREATE"))
        return {str(sink) for query in creating for sink in query.get("sinks") or ()}

    def topics(self) -> dict[str, str]:
        """The topic of each stream and table, by its name."""
        [streams], [tables] = self.execute("SHOW STREAMS;"), self.execute("SHOW TABLES;")
        return {str(source["name"]): str(source["topic"]) for source in (*streams["streams"], *tables["tables"])}

    def explain(self, query_id: str) -> dict[str, Any]:
        """What a persistent query is: among others `sources` by name, `consumerGroupId` and `state`."""
        [entity] = self.execute(f"EXPLAIN {query_id};")
        return dict(entity["queryDescription"])

    def states(self) -> dict[str, str]:
        """The persistent queries: id in upper case to the state, such as RUNNING or PAUSED."""
        [entity] = self.execute("SHOW QUERIES;")
        return {str(query["id"]).upper(): str(query["state"]) for query in entity["queries"]}

    def figures(self) -> list[dict[str, Any]]:
        """What `GET /queries` of the embedded engine says of each query; nothing on ksqlDB, which has no such page.

        Raises DeployError when the server cannot be reached.
        """
        try:
            answer = self._session.get(f"{self._url}/queries", timeout=self._timeout_s)
            return list(answer.json()["queries"]) if answer.status_code == 200 else []
        except (ValueError, KeyError, TypeError):
            raise DeployError(self._is_none()) from None
        except requests.RequestException as error:
            raise DeployError(str(unreachable(self._server, error))) from None

    def engines(self) -> dict[str, dict[str, Any]]:
        """The servers that share its service id, as `/clusterStatus` has them, by HOST:PORT; none where it does not say.

        Raises DeployError when the server cannot be reached.
        """
        try:
            answer = self._session.get(f"{self._url}/clusterStatus", timeout=self._timeout_s)
            return dict(answer.json()["clusterStatus"]) if answer.status_code == 200 else {}
        except (ValueError, KeyError, TypeError):
            raise DeployError(self._is_none()) from None
        except requests.RequestException as error:
            raise DeployError(str(unreachable(self._server, error))) from None

    def info(self) -> dict[str, Any]:
        """What the server says of itself, such as `version` and `serverStatus`. Raises DeployError."""
        try:
            answer = self._session.get(f"{self._url}/info", timeout=self._timeout_s)
            if refused := refused_login(self._server, answer):
                raise DeployError(refused)
            return dict(answer.json()["KsqlServerInfo"])
        except (ValueError, KeyError, TypeError):
            raise DeployError(self._is_none()) from None
        except requests.RequestException as error:
            raise DeployError(str(unreachable(self._server, error))) from None

    def is_terminated(self) -> bool:
        """Whether it was ended by `/ksql/terminate`: it answers, and takes no statement until it is started again.

        Raises DeployError.
        """
        return self.info().get("serverStatus") == "TERMINATED"

    def problem(self, timeout_s: float = 2.0) -> Problem | None:
        """What keeps the server from being used: a whole sentence; None where it says that it is healthy."""
        try:
            answer = self._session.get(f"{self._url}/healthcheck", timeout=timeout_s)
            if refused := refused_login(self._server, answer):
                return Problem(refused, permanent=True)
            healthy = answer.json().get("isHealthy")
            return None if healthy else Problem(f"{self._url} (KSQLDB_URL) is not healthy: {answer.text[:200]}", False)
        except (ValueError, AttributeError):
            return Problem(self._is_none(), permanent=False)
        except requests.RequestException as error:
            return unreachable(self._server, error)

    def wait_ready(self, timeout_s: float = _DEFINITION_WAIT_S) -> None:
        """Return once /healthcheck is healthy; raises DeployError after `timeout_s`, or where waiting does not help."""
        deadline = time.monotonic() + timeout_s
        while (problem := self.problem()) is not None:
            if problem.permanent:
                raise DeployError(str(problem))
            if time.monotonic() > deadline:
                raise DeployError(f"no healthy ksqlDB server within {timeout_s:.0f} s: {problem}")
            time.sleep(0.1)

    def _is_none(self) -> str:
        return f"what answers at {self._url} (KSQLDB_URL) is no ksqlDB server"


class Snapshot(Server):
    """A server at one moment: what is asked again is answered as before. For those who look at much and change nothing."""

    def __init__(self, server: Ksqldb | str, timeout_s: float = 60.0) -> None:
        super().__init__(server, timeout_s)
        self._answers: dict[str, list[dict[str, Any]] | Rejected] = {}

    def execute(self, sql: str, variables: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Ask once. Raises Rejected each time where the server has rejected it."""
        if sql not in self._answers:
            try:
                self._answers[sql] = super().execute(sql, variables)
            except Rejected as error:
                self._answers[sql] = error
        answer = self._answers[sql]
        if isinstance(answer, Rejected):
            raise Rejected(str(answer))
        return answer


def unreachable(server: Ksqldb, error: Exception) -> Problem:
    """Why a server cannot be asked, as a sentence."""
    trust = "name the file with the authority's certificate in STREAMGUARD_KSQLDB_SSL_CAFILE"
    found = problem_of(server.url, error, trust)
    return Problem(f"no ksqlDB server answers at {server} (KSQLDB_URL): {found.reason}", found.permanent)


def refused_login(server: Ksqldb, answer: requests.Response) -> str | None:
    """The sentence for an answer that asks for another login, or that refuses the user; None for any other.

    Where Kafka refuses what a statement needs, ksqlDB names the statement: that is of the statement, not of the login.
    """
    if answer.status_code not in (401, 403) or b'"statement_error"' in answer.content:
        return None
    return refusal_of(server, answer.status_code, answer.content)


def refusal_of(server: Ksqldb, status: int, body: bytes) -> str:
    """The sentence for the status 401 or 403."""
    try:
        message = str(json.loads(body)["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        message = f"HTTP status {status}"
    who = f"the user {server.username}" if server.username else "a request without a login"
    said = f"the ksqlDB server at {server} (KSQLDB_URL) refuses {who}: {message}"
    return f"{said}; STREAMGUARD_KSQLDB_USERNAME and _PASSWORD say who asks" if status == 401 else said


def _check_status(entity: dict[str, Any]) -> None:
    status = entity.get("commandStatus")
    if isinstance(status, dict) and status.get("status") == "ERROR":
        raise Rejected(str(status.get("message")))
