"""Long and deep statements through the server and the shell, and again after a restart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ksqldb import EARLIEST, KsqlServerProcess, running_server

pytestmark = pytest.mark.integration
SHELL = "import sys; from streamguard_ksql.shell import main; sys.exit(main())"
WORK = {
    "ors": " OR ".join(f"n = {i}" for i in range(1, 5001)),
    "sums": " + ".join(["n"] * 5000) + " = 5000",
    "nots": "NOT " * 200 + "n = 1",
    "whens": f"CASE {' '.join(f'WHEN n = {i} THEN {i}' for i in range(1, 1000))} END = 1",
    "calls": "ABS(" * 200 + "n" + ")" * 200 + " = 1",
    "brackets": "(" * 5000 + "n" + ")" * 5000 + " = 1",
}
TOO_DEEP = {
    "nots": "NOT " * 5000 + "n = 1",
    "cases": "CASE WHEN n = 1 THEN " * 5000 + "1" + " END" * 5000 + " = 1",
    "arrays": "ARRAY[" * 5000 + "n" + "]" * 5000 + " IS NOT NULL",
    "calls": "ABS(" * 5000 + "n" + ")" * 5000 + " = 1",
}


def run_shell(server: KsqlServerProcess, folder: Path, sql: str) -> subprocess.CompletedProcess[str]:
    environment = {"KSQLDB_URL": server.url, "HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    command = [sys.executable, "-c", SHELL, "-e", sql]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_what_is_accepted_runs_and_is_there_after_a_restart_and_the_rest_is_refused(tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "ksql.streams.auto.offset.reset=earliest") as server:
        server.ksql("CREATE STREAM s (id STRING KEY, n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")
        for name, where in WORK.items():
            sql = f"CREATE STREAM {name} AS SELECT * FROM s WHERE {where};"
            if name in ("ors", "sums"):
                shown = run_shell(server, tmp_path, sql)
                assert shown.returncode == 0, shown.stderr
            else:
                server.ksql(sql)
        for where in TOO_DEEP.values():
            response = server.post("/ksql", {"ksql": f"CREATE STREAM o AS SELECT * FROM s WHERE {where};"})
            assert response.status_code == 400
            assert "deeper than 250 levels" in response.json()["message"]
            push = server.post("/query", {"ksql": f"SELECT * FROM s WHERE {where} EMIT CHANGES;"})
            assert push.status_code == 400 and "deeper than 250 levels" in push.json()["message"]
        shown = run_shell(server, tmp_path, f"CREATE STREAM o AS SELECT * FROM s WHERE {TOO_DEEP['nots']};")
        assert "deeper than 250 levels" in shown.stdout + shown.stderr
        server.stop()
        server.start()
        queries = server.ksql("SHOW QUERIES;")[0]["queries"]
        assert sorted(q["sinks"][0] for q in queries) == sorted(name.upper() for name in WORK)
        described = server.ksql("DESCRIBE ors EXTENDED;")[0]["sourceDescription"]
        assert described["writeQueries"][0]["queryString"].count(" OR ") == 4999
        server.ksql("INSERT INTO s VALUES ('a', 1);")
        for name in WORK:
            body = {"sql": f"SELECT * FROM {name} EMIT CHANGES LIMIT 1;", "properties": EARLIEST}
            response = server.post("/query-stream", body, "application/vnd.ksqlapi.delimited.v1")
            assert json.loads(response.text.splitlines()[1]) == ["a", 1], name
