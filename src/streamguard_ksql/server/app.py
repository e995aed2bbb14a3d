"""The endpoints: which path is answered how."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from streamguard_ksql import ast
from streamguard_ksql.errors import BadRequest, KsqlError
from streamguard_ksql.operators.state import decode, encode
from streamguard_ksql.runtime import peers
from streamguard_ksql.runtime.api import Runtime
from streamguard_ksql.server import entities, requests, terminate
from streamguard_ksql.server.absolute import AbsoluteForm
from streamguard_ksql.server.descriptions import Describer
from streamguard_ksql.server.doors import Doors
from streamguard_ksql.server.errors import (
    COMMANDS_BEHIND,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TERMINATED,
    RestError,
    fault,
    refusal,
)
from streamguard_ksql.server.execution import execute
from streamguard_ksql.server.formats import JSON, choose
from streamguard_ksql.server.inserts import InsertsStream
from streamguard_ksql.server.logins import Logins, Principal, Rules
from streamguard_ksql.server.properties import check_name
from streamguard_ksql.server.queries import new_session, pull_part, start
from streamguard_ksql.server.requests import SqlRequest
from streamguard_ksql.server.state import Server, wall_clock_ms
from streamguard_ksql.server.streams import QueryResponse

__all__ = ["create_app"]

BARE_PATHS = ("/query-stream", "/inserts-stream", "/close-query")
"""Where ksqlDB sends errors without a content type."""
MESSAGEPACK = "application/vnd.msgpack"
ADVERTISED = "ksql.advertised.listener"
COMMAND_TIMEOUT, DEFAULT_COMMAND_TIMEOUT_MS = "ksql.server.command.response.timeout.ms", 5000


def create_app(
    runtime: Runtime, host: str = "127.0.0.1:8088", server: Server | None = None, logins: Rules | None = None
) -> Starlette:
    """The server's application; `host` is HOST:PORT as it names itself. `server` is there to close its queries."""
    endpoints = _Endpoints(server or Server(runtime, host, wall_clock_ms))
    routes = [
        Route("/", _guarded(endpoints.info), methods=["GET"]),
        Route("/info", _guarded(endpoints.info), methods=["GET"]),
        Route("/healthcheck", _guarded(endpoints.healthcheck), methods=["GET"]),
        Route("/v1/metadata", _guarded(endpoints.metadata), methods=["GET"]),
        Route("/v1/metadata/id", _guarded(endpoints.metadata_id), methods=["GET"]),
        Route("/clusterStatus", _guarded(endpoints.cluster_status), methods=["GET"]),
        Route("/is_valid_property/{name}", _guarded(endpoints.is_valid_property), methods=["GET"]),
        Route("/status", _guarded(endpoints.statuses), methods=["GET"]),
        Route("/status/{command:path}", _guarded(endpoints.status), methods=["GET"]),
        Route("/queries", _guarded(endpoints.queries), methods=["GET"]),
        Route("/ksql", _guarded(endpoints.ksql), methods=["POST"]),
        Route("/ksql/terminate", _guarded(endpoints.terminate), methods=["POST"]),
        Route("/query", _guarded(endpoints.query), methods=["POST"]),
        Route("/query-stream", _guarded(endpoints.query), methods=["POST"]),
        Route("/close-query", _guarded(endpoints.close_query), methods=["POST"]),
        Route(peers.PULL, _guarded(endpoints.peer_pull), methods=["POST"]),
        Route(peers.STATS, _guarded(endpoints.peer_stats), methods=["POST"]),
        Route("/inserts-stream", InsertsStream(endpoints.server), methods=["POST"]),
    ]
    handlers: Any = {RestError: _refused, HTTPException: _http_error, ClientDisconnect: _gone}
    names = _names_of(endpoints.server)
    doors = [Middleware(AbsoluteForm), Middleware(Doors, names=names), Middleware(Logins, rules=logins)]
    return Starlette(routes=routes, exception_handlers=handlers, middleware=doors)


def _names_of(server: Server) -> list[str]:
    """The hosts that the server was told to be known as."""
    addresses = [server.host, str(server.runtime.config_value(ADVERTISED) or "")]
    return [
        host for address in addresses if (host := urlsplit(address if "://" in address else f"//{address}").hostname)
    ]


Endpoint = Callable[[Request], Awaitable[Response]]


def _guarded(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with errors that are ours turned into a refusal: one line in the log, no traceback anywhere."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (RestError, HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            raise fault(error, f"answering {request.url.path}") from error

    return answer


class _Endpoints:
    """One method per path."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.runtime = server.runtime

    # --- the server itself --------------------------------------------------------------------------------------------

    async def info(self, request: Request) -> Response:
        state = "TERMINATED" if self.server.terminated else "RUNNING"
        return _json(entities.server_info(self.runtime.cluster_id, self.runtime.service_id, state))

    async def healthcheck(self, request: Request) -> Response:
        health = entities.health(await self.server.run(self.runtime.is_healthy))
        return _json(health, status=200 if health["isHealthy"] else 503)

    async def metadata(self, request: Request) -> Response:
        return _json(entities.server_metadata(self.runtime.cluster_id, self.runtime.service_id))

    async def metadata_id(self, request: Request) -> Response:
        return _json(entities.cluster(self.runtime.cluster_id, self.runtime.service_id))

    async def cluster_status(self, request: Request) -> Response:
        """Not there, as in ksqlDB where `ksql.heartbeat.enable` is off, unless several engines share the service id."""
        found = await self.server.run(self.runtime.engines)
        if not found:
            return Response(b"", status_code=404, headers={"content-type": JSON})
        return _json(entities.cluster_status(found, self.server.clock_ms()))

    async def is_valid_property(self, request: Request) -> Response:
        """Whether a session may set a property; true for one that does not exist, as in ksqlDB, whose clients know the names."""
        try:
            check_name(request.path_params["name"])
        except BadRequest as error:
            raise RestError(error.message) from None
        except KsqlError:
            pass
        return _json(True)

    async def queries(self, request: Request) -> Response:
        """The figures of all persistent queries: not ksqlDB's, whose figures are JMX beans."""
        principal: Principal = request.scope["principal"]
        return _json({"queries": await self.server.run(self._figures, principal.authorization)})

    def _figures(self, authorization: str | None) -> list[entities.Entity]:
        stats = self.runtime.stats_everywhere(authorization)
        with self.runtime.lock:
            describer = Describer(self.runtime.engine, stats.__getitem__, self.server.host, self.server.clock_ms())
            queries = sorted(self.runtime.engine.queries.items())
            return [describer.figures(query) for query_id, query in queries if query_id in stats]

    # --- commands -----------------------------------------------------------------------------------------------------

    async def statuses(self, request: Request) -> Response:
        found = {command: status["status"] for command, status in self.server.statuses.items()}
        return _json({"commandStatuses": found})

    async def status(self, request: Request) -> Response:
        status = self.server.statuses.get(request.path_params["command"])
        if status is None:
            raise RestError("Command not found", code=NOT_FOUND)
        return _json(status)

    async def ksql(self, request: Request) -> Response:
        """Carry out statements, in order."""
        given = await requests.read_request(request)
        self._refuse_if_terminated()
        await self._wait_for_command(given.command_sequence_number)
        return _json(await self.server.run(self._execute, given))

    def _execute(self, given: SqlRequest) -> list[entities.Entity]:
        try:
            prepared = new_session(self.server, given).prepare(given.sql)
        except KsqlError as error:
            raise refusal(error, given.sql) from None
        for one in prepared:
            if not isinstance(one.statement, ast.Reading):
                given.principal.check_write(one.statement.text)
        return execute(prepared, self.server, given.principal.authorization)

    def _refuse_if_terminated(self) -> None:
        if self.server.terminated:
            raise RestError("The cluster has been terminated. No new requests will be accepted.", code=TERMINATED)

    async def _wait_for_command(self, number: int | None) -> None:
        """Wait for a command that was promised; those that this server answered for are carried out already."""
        timeout_ms = int(self.runtime.config_value(COMMAND_TIMEOUT) or DEFAULT_COMMAND_TIMEOUT_MS)
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        while number is not None and self.server.last_sequence_number is not None:
            if number <= max(self.server.last_sequence_number, self.runtime.last_command):
                return
            if asyncio.get_running_loop().time() >= deadline:
                raise RestError(
                    f"Timed out while waiting for a previous command to execute. command sequence number: {number}",
                    code=COMMANDS_BEHIND,
                )
            await asyncio.sleep(0.05)

    async def terminate(self, request: Request) -> Response:
        """End everything: all queries, all streams and tables, and the topics that the request lists."""
        patterns = (await requests.read_object(request)).get("deleteTopicList") or []
        self._refuse_if_terminated()
        return _json(await self.server.run(terminate.terminate, self.server, patterns))

    # --- queries ------------------------------------------------------------------------------------------------------

    async def query(self, request: Request) -> Response:
        """Run a SELECT or PRINT and send its rows as they come."""
        given = await requests.read_request(request)
        self._refuse_if_terminated()
        started = await self.server.run(start, self.server, given)
        accept = request.headers.get("accept", "")
        return QueryResponse(self.server, started, choose(request.url.path, accept, request.scope["http_version"]))

    async def peer_pull(self, request: Request) -> Response:
        """Another engine asks for the rows of a pull query that are here."""
        try:
            asked = decode(await requests.read_body(request))
            sql, properties, slots = str(asked["sql"]), dict(asked["properties"]), frozenset(map(int, asked["slots"]))
        except (ValueError, TypeError, KeyError):
            raise RestError("This is not what an engine of the service asks another one for rows with.") from None
        given = SqlRequest(sql, properties, principal=request.scope["principal"])
        rows = await self.server.run(pull_part, self.server, given, slots)
        return Response(encode([list(row) for row in rows]), headers={"content-type": MESSAGEPACK})

    async def peer_stats(self, request: Request) -> Response:
        """Another engine asks what the queries have done here."""
        found = await self.server.run(self.runtime.all_stats)
        return Response(peers.packed_stats(found), headers={"content-type": MESSAGEPACK})

    async def close_query(self, request: Request) -> Response:
        query_id = (await requests.read_object(request)).get("queryId")
        if not isinstance(query_id, str):
            raise RestError("The request body must have the query's id in 'queryId'.")
        principal: Principal = request.scope["principal"]
        if self.server.owner(query_id) != principal.name:
            principal.check_write("closing the query of another user")
        if not await self.server.run(self.server.close_query, query_id):
            raise RestError(f"No query with id {query_id}")
        return Response(b"", status_code=200)


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, headers={"content-type": JSON})


# --- refusals ---------------------------------------------------------------------------------------------------------


async def _refused(request: Request, error: RestError) -> Response:
    headers = {} if request.url.path in BARE_PATHS else {"content-type": JSON}
    return Response(orjson.dumps(error.body), status_code=error.status, headers=headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        message = f"{request.url.path} does not take {request.method} requests."
        return await _refused(request, RestError(message, code=METHOD_NOT_ALLOWED))
    return await _refused(request, RestError(f"There is nothing at {request.url.path}.", code=error.status_code * 100))


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    """The client has gone: no answer is read."""
    return Response(status_code=400)
