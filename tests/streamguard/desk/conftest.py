"""The desk for tests: its application over a real Postgres, with a client per role; and a real browser on a real process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy import text
from starlette.testclient import TestClient

from streamguard.config import Settings, load_settings
from streamguard.desk.app import create_app
from streamguard.desk.serve import make_desk
from streamguard.desk.site import Desk as Site
from streamguard.users.passwords import hash_password
from streamguard.users.roles import ROLES
from streamguard.users.sessions import Lifetimes, find_session, open_session
from streamguard.users.tokens import make_token
from tests.support.broker import free_port
from tests.support.desk import Desk
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import eventually

LIFETIMES = Lifetimes(timedelta(hours=1), timedelta(hours=1))
PASSWORD = "a long enough password"
_HASH = hash_password(PASSWORD)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
Client = Callable[[str], TestClient]
Programs = Callable[..., TestClient]


def make_users(store: Desk) -> None:
    """A user per role, of its name, with the password of the tests."""
    with store.engine.begin() as connection:
        for role in ROLES:
            connection.execute(
                text("INSERT INTO users (user_name, role, password_hash, created_by) VALUES (:n, :n, :h, 'test')"),
                {"n": role, "h": _HASH},
            )


@pytest.fixture
def site(desk: Desk) -> Iterator[Site]:
    """The parts of a desk over the store `desk`, with a user per role; its threads do not run."""
    make_users(desk)
    made = make_desk(desk.settings, 8501)
    yield made
    made.engine.dispose()


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    """Clients by role, logged in; each sends its CSRF token with every request. `nobody` is not logged in."""
    opened = []

    def of(role: str) -> TestClient:
        found = TestClient(create_app(site), base_url="http://127.0.0.1:8501", follow_redirects=False)
        if role != "nobody":
            with site.engine.begin() as connection:
                token = open_session(connection, role, site.lifetimes)
                session = find_session(connection, token, site.lifetimes)
            assert session is not None
            found.cookies.set(site.cookie, token)
            found.headers["x-csrf-token"] = session.csrf_token
        opened.append(found)
        return found

    yield of
    for one in opened:
        one.close()


@pytest.fixture
def program(site: Site) -> Programs:
    """Clients of the API by role, each with a token of a user of that role."""

    def of(role: str, scope: str = "write") -> TestClient:
        with site.engine.begin() as connection:
            token = make_token(connection, role, "a test", scope, 1)
        found = TestClient(create_app(site), base_url="http://127.0.0.1:8501/api/v1", follow_redirects=False)
        found.headers["authorization"] = f"Bearer {token}"
        return found

    return of


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window. Playwright keeps an event loop running in this thread for as long, in which
    other tests could not run theirs: so it ends with the module."""
    if CHROMIUM is None:
        pytest.skip("the browser tests need Chromium: `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@dataclass
class RunningDesk:
    """`streamguard desk` as a process over the store, and browsers on it."""

    settings: Settings
    browser: Browser
    folder: Path
    desk: Desk | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    contexts: list[BrowserContext] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Desk:
        """What the desk of this test shows."""
        assert self.desk is not None
        return self.desk

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def show(self, desk: Desk) -> None:
        """From now on, the rows of this store."""
        self.desk = desk
        if self.process is None or self.process.poll() is not None:
            self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        environment = {
            **os.environ,
            "DATABASE_URL": self.settings.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "KSQLDB_URL": "http://127.0.0.1:1",
            "STREAMGUARD_DESK_PORT": str(self.port),
            "STREAMGUARD_STATE_DIR": str(self.folder / "state"),
            **self.environment,
        }
        with (self.folder / "desk.log").open("ab") as log:
            command = [sys.executable, "-m", "streamguard.cli", "desk"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        eventually(self.answers, bool, 60, lambda: (self.folder / "desk.log").read_text())

    def answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, (self.folder / "desk.log").read_text()
        try:
            return requests.get(f"{self.url}/login", timeout=5).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=30)

    def page(self, role: str, path: str = "/", **options: object) -> Page:
        """A browser of its own with a user of a role logged in, on a page; an error of the script fails the test."""
        context = self.browser.new_context(base_url=self.url, viewport={"width": 1440, "height": 900}, **options)  # type: ignore[arg-type]
        self.contexts.append(context)
        with self.store.engine.begin() as connection:
            token = open_session(connection, role, LIFETIMES)
        context.add_cookies([{"name": "streamguard", "value": token, "url": self.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"the script failed: {error}"))
        page.goto(path)
        return page

    def close_browsers(self) -> None:
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def close(self) -> None:
        self.close_browsers()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)


@pytest.fixture(scope="module")
def _desk_process(
    postgres_server: EmbeddedPostgres, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningDesk]:
    settings = load_settings(database_url=postgres_server.url())
    made = RunningDesk(settings, chromium, tmp_path_factory.mktemp("desk"))
    yield made
    made.close()


@pytest.fixture
def running(desk: Desk, _desk_process: RunningDesk) -> Iterator[RunningDesk]:
    """A desk that runs over the store `desk`, with a user per role: one process for a module, started again after a test
    that killed it."""
    make_users(desk)
    _desk_process.show(desk)
    yield _desk_process
    _desk_process.close_browsers()
