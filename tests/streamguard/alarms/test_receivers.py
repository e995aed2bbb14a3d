"""Real receivers: a web server, a mail server with TLS and a login, a program."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import SecretStr

from streamguard.alarms.messages import Message, trial_message
from streamguard.alarms.receivers import NotSent, receivers_of
from streamguard.config import Settings, SettingsError, load_settings
from tests.support.broker import free_port
from tests.support.receiver import Receiver
from tests.support.tls import Authority

TEST = trial_message(1_800_000_000.0)
Serve = Callable[..., "Mails"]


class Mails:
    """A mail server; `got` has what it was sent."""

    def __init__(self, context: ssl.SSLContext | None, *, implicit: bool, login: str | None) -> None:
        self.got: list[EmailMessage] = []
        more: dict[str, Any] = {"ssl_context": context} if implicit else {"tls_context": context}
        if login is not None:
            user, _, password = login.partition(":")

            def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
                known = (data.login, data.password) == (user.encode(), password.encode())
                return AuthResult(success=known, handled=False)

            more |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": not implicit}
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port(), **more)
        self._controller.start()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.got.append(mail)
        return "250 OK"

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def close(self) -> None:
        self._controller.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve(authority: Authority) -> Iterator[Serve]:
    made: list[Mails] = []
    certificate = authority.issue()

    def start(*, tls: bool = True, implicit: bool = False, login: str | None = None) -> Mails:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.file, certificate.key)
        made.append(Mails(context if tls else None, implicit=implicit, login=login))
        return made[-1]

    yield start
    for mails in made:
        mails.close()


def mail_settings(mails: Mails, **more: Any) -> Settings:
    addresses = {"alarms_email_to": "night@example.org, day@example.org", "alarms_email_from": "guard@example.org"}
    return load_settings(**addresses, alarms_smtp_host="127.0.0.1", alarms_smtp_port=mails.port, **more)


def send(settings: Settings, message: Message = TEST) -> None:
    [receiver] = receivers_of(settings)
    receiver.send(message)


# The server does not know that it stands behind TLS.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("implicit", [False, True])
def test_mail_goes_by_tls_with_a_login(serve: Serve, authority: Authority, tmp_path: Path, implicit: bool) -> None:
    mails = serve(implicit=implicit, login="guard:secret word")
    password = tmp_path / "password"
    password.write_text("secret word\n")
    settings = mail_settings(
        mails,
        alarms_smtp_security="tls" if implicit else "starttls",
        alarms_smtp_username="guard",
        alarms_smtp_password_file=password,
        alarms_smtp_cafile=authority.file,
    )
    send(settings)
    [mail] = mails.got
    assert mail["Subject"] == "StreamGuard: test, 1 firing: Test"
    assert mail["To"] == "night@example.org, day@example.org" and mail["Auto-Submitted"] == "auto-generated"
    assert "FIRING   [none] Test since 2027-01-15T08:00:00Z: a test: nothing has happened" in mail.get_content()
    password.write_text("another")
    with pytest.raises(NotSent, match=r"^the mail server 127.0.0.1 rejects the login \(535\)$"):
        send(settings)


def test_mail_does_not_go_where_the_certificate_is_not_trusted(serve: Serve) -> None:
    with pytest.raises(NotSent, match="no trusted connection"):
        send(mail_settings(serve()))


def test_mail_does_not_go_in_the_clear_unless_told_so(serve: Serve) -> None:
    mails = serve(tls=False)
    with pytest.raises(NotSent, match="STARTTLS"):
        send(mail_settings(mails))
    send(mail_settings(mails, alarms_smtp_security="plain"))
    assert len(mails.got) == 1


def test_a_mail_server_that_is_not_there_is_one_sentence() -> None:
    settings = load_settings(
        alarms_email_to="a@example.org",
        alarms_email_from="b@example.org",
        alarms_smtp_host="127.0.0.1",
        alarms_smtp_port=free_port(),
    )
    with pytest.raises(NotSent, match=r"^the mail server 127.0.0.1: .*refused$"):
        send(settings)


@pytest.mark.parametrize(("status", "error"), [(404, "answers 404"), (302, "answers 302"), (None, "cannot be reached")])
def test_a_webhook_that_fails_does_not_show_its_path(status: int | None, error: str) -> None:
    with Receiver(lambda _: status or 204) as receiver:
        receiver.location = "http://127.0.0.1:1/"
        url = receiver.url.replace("127.0.0.1", "user:word@127.0.0.1")
        if status is None:
            url = f"http://user:word@127.0.0.1:{free_port()}/decisions"
        settings = load_settings(alarms_webhook_url=SecretStr(url))
        with pytest.raises(NotSent, match=error) as raised:
            send(settings)
        assert not {"decisions", "word"} & set(str(raised.value).replace(":", " ").replace("/", " ").split())
        assert len(receiver.got) == (status is not None)


def test_a_command_gets_the_text(tmp_path: Path) -> None:
    file = tmp_path / "got"
    program = f"import sys; open({str(file)!r}, 'w').write(sys.stdin.read()); sys.exit(len(sys.argv) - 2)"
    command = [sys.executable, "-c", program, "one; $(two)"]
    send(load_settings(alarms_command=command))
    assert file.read_text() == TEST.text
    with pytest.raises(NotSent, match=r"ends with 1$"):
        send(load_settings(alarms_command=[*command, "more"]))
    with pytest.raises(NotSent, match=r"/nowhere cannot be run: No such file"):
        send(load_settings(alarms_command=["/nowhere"]))


@pytest.mark.parametrize(
    ("environment", "error"),
    [
        ({"EMAIL_TO": "a@example.org"}, "EMAIL_TO needs STREAMGUARD_ALARMS_EMAIL_FROM"),
        ({"SMTP_USERNAME": "a"}, "belong together"),
        ({"SMTP_PASSWORD_FILE": "/nowhere"}, "belong together"),
        ({"SMTP_USERNAME": "a", "SMTP_PASSWORD_FILE": "/nowhere"}, "/nowhere cannot be read"),
        (
            {
                "SMTP_USERNAME": "a",
                "SMTP_PASSWORD_FILE": "/etc/hostname",
                "SMTP_SECURITY": "plain",
                "SMTP_HOST": "m.test",
            },
            "in the clear",
        ),
        ({"WEBHOOK_URL": "example.org/x"}, "an address is expected"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], error: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"STREAMGUARD_ALARMS_{name}", value)
    with pytest.raises(SettingsError, match=error):
        load_settings()
