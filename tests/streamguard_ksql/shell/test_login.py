"""Who the shell logs in as: by options, by the address, or by what the settings have for one server."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from streamguard_ksql.shell.client import Client, ShellError, login_of, normal_url
from streamguard_ksql.shell.main import Default, _parser, new_session

DEFAULT = Default("https://sql.example:8088", "wanda", "of wanda", None)


def client(*arguments: str, default: Default = DEFAULT) -> Client:
    given: argparse.Namespace = _parser().parse_args(arguments)
    return new_session(given, default).client


@pytest.mark.parametrize(
    ("arguments", "url", "login"),
    [
        ((), DEFAULT.url, ("wanda", "of wanda")),
        ((DEFAULT.url + "/",), DEFAULT.url, ("wanda", "of wanda")),
        # What the settings have is for their server alone.
        (("https://elsewhere:8088",), "https://elsewhere:8088", (None, None)),
        (("http://sql.example:8088",), "http://sql.example:8088", (None, None)),
        (("https://paul:p%40ul@elsewhere:8088",), "https://elsewhere:8088", ("paul", "p@ul")),
        (("https://paul:p%40ul@sql.example:8088",), DEFAULT.url, ("paul", "p@ul")),
        (("-u", "wanda"), DEFAULT.url, ("wanda", "of wanda")),
        (("-u", "rita", "-p", "of rita"), DEFAULT.url, ("rita", "of rita")),
        (("-u", "rita", "-p", "of rita", "elsewhere:1"), "http://elsewhere:1", ("rita", "of rita")),
        (("-p", "another"), DEFAULT.url, ("wanda", "another")),
    ],
)
def test_the_login(arguments: tuple[str, ...], url: str, login: tuple[str | None, str | None]) -> None:
    made = client(*arguments)
    assert (made.url, (made.user, made.password)) == (url, login)


@pytest.mark.parametrize(
    "arguments", [("-u", "rita"), ("-u", "wanda", "https://elsewhere:8088"), ("rita@elsewhere:1",)]
)
def test_without_a_terminal_a_missing_password_is_said(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/null") as nothing, monkeypatch.context() as patched:
        patched.setattr("sys.stdin", nothing)
        with pytest.raises(ShellError, match=r"The password of (rita|wanda) is missing: -p gives it"):
            client(*arguments)


def test_an_authority_comes_from_the_file_and_is_no_property_of_the_session(tmp_path: Path) -> None:
    authority, config = tmp_path / "ca.pem", tmp_path / "cli.properties"
    authority.write_text("")
    config.write_text(f"ssl.truststore.location={authority}\nauto.offset.reset=earliest\n")
    session = new_session(_parser().parse_args(["--config-file", str(config)]), DEFAULT)
    assert session.client.ca_file == str(authority)
    assert session.properties == {"auto.offset.reset": "earliest"}
    config.write_text("ssl.truststore.location=/x/client.truststore.jks\n")
    with pytest.raises(ShellError, match="a PEM file is expected"):
        client("--config-file", str(config))
    config.write_text("ssl.truststore.location=/none.pem\n")
    with pytest.raises(ShellError, match=r"Cannot read /none\.pem"):
        client("--config-file", str(config))


@pytest.mark.parametrize("url", ["https://wanda:secret@", "ftp://wanda:secret@host", "http://wanda:secret@[::1"])
def test_no_password_is_in_a_message(url: str) -> None:
    with pytest.raises(ShellError) as caught:
        login_of(url)
    assert "secret" not in str(caught.value)
    assert normal_url("https://wanda:secret@host:1/") == "https://host:1"
