"""Fixtures that many suites share: real parts, started once per run."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterator
from types import FrameType

import pytest
from hypothesis import settings

from tests.support.broker import free_port
from tests.support.postgres import EmbeddedPostgres

FIRST = ("tests/integration/", "tests/streamguard_ksql/runtime/", "tests/streamguard_broker/")
"""Suites that take longest and mostly wait: begun last, one of them would hold up the end of the run alone."""

TEST_SECONDS = 240
"""Far beyond what any test takes on a loaded machine: what takes longer waits for something that does not come."""

settings.register_profile("any machine", deadline=None)  # By default an example fails that takes longer than 200 ms.
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Ctrl-C reaches the processes of tests also where the run itself ignores it, as one in the background does."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long suites first; files stay together."""
    items.sort(
        key=lambda item: next((i for i, prefix in enumerate(FIRST) if item.nodeid.startswith(prefix)), len(FIRST))
    )


@pytest.fixture(autouse=True)
def time_limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that hangs fails, with the stack of each thread, and does not hold up the run; not one with the marker soak."""
    if request.node.get_closest_marker("soak"):
        yield
        return

    def fail(_: int, __: FrameType | None) -> None:
        faulthandler.dump_traceback()
        raise TimeoutError(f"not done in {TEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One Postgres for the whole run."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("pg") / "postgres", free_port())
    server.start()
    assert server.process is not None
    # These tests make and drop whole schemas; what a power failure would lose is not among what they look at.
    with (server.data_dir / "postgresql.auto.conf").open("a") as conf:
        conf.write("fsync = off\n")
    server.process.send_signal(signal.SIGHUP)
    yield server
    server.kill(signal.SIGINT)


@pytest.fixture
def postgres(postgres_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server, with an empty database."""
    postgres_server.wipe()
    return postgres_server
