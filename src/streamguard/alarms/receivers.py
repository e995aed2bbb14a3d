"""Where messages go: a webhook, e-mail, a command. What goes wrong is one sentence, without passwords or tokens."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from importlib.metadata import version
from typing import Protocol
from urllib.parse import urlsplit

import requests

from streamguard.alarms.messages import Message
from streamguard.config import Settings
from streamguard.config.cluster import read_secret
from streamguard.config.http import http_session

WITHIN_S = 10.0
COMMAND_WITHIN_S = 30.0
_PORTS = {"starttls": 587, "tls": 465, "plain": 25}


class NotSent(Exception):
    """A message that its receiver has not taken; the sentence says why."""


class Receiver(Protocol):
    """Takes messages."""

    name: str

    def send(self, message: Message) -> None:
        """Raises NotSent."""
        ...


class Webhook:
    """POSTs JSON of Alertmanager's form."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, message: Message) -> None:
        """Any 2xx is an answer that has taken it."""
        # The path may be a secret: of the address only the host is named.
        host = urlsplit(self._url).netloc.rpartition("@")[2]
        headers = {"User-Agent": f"StreamGuard/{version('streamguard')}"}
        try:
            with http_session(self._url) as session:
                answer = session.post(
                    self._url, json=message.to_json(), headers=headers, timeout=WITHIN_S, allow_redirects=False
                )
        except requests.Timeout:
            raise NotSent(f"{host} has not answered within {WITHIN_S:g} s") from None
        except (requests.RequestException, OSError) as error:
            raise NotSent(f"{host} cannot be reached ({type(error).__name__})") from None
        if not answer.ok or answer.is_redirect:
            raise NotSent(f"{host} answers {answer.status_code} {answer.reason}")


class Email:
    """Sends by a mail server."""

    name = "e-mail"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        """One mail to all addresses."""
        server = f"the mail server {self._settings.alarms_smtp_host}"
        try:
            with self._connected() as smtp:
                smtp.send_message(self._mail(message))
        except smtplib.SMTPAuthenticationError as error:
            raise NotSent(f"{server} rejects the login ({error.smtp_code})") from None
        except smtplib.SMTPRecipientsRefused as error:
            raise NotSent(f"{server} rejects {', '.join(error.recipients)}") from None
        except ssl.SSLError as error:
            raise NotSent(f"{server}: no trusted connection ({error.reason or error})") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise NotSent(f"{server}: {error}") from None

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        security = settings.alarms_smtp_security
        port = settings.alarms_smtp_port or _PORTS[security]
        context = ssl.create_default_context(cafile=settings.alarms_smtp_cafile)
        if security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(settings.alarms_smtp_host, port, timeout=WITHIN_S, context=context)
        else:
            smtp = smtplib.SMTP(settings.alarms_smtp_host, port, timeout=WITHIN_S)
        try:
            if security == "starttls":
                smtp.starttls(context=context)
            if settings.alarms_smtp_password_file is not None:
                variable = "STREAMGUARD_ALARMS_SMTP_PASSWORD_FILE"
                smtp.login(settings.alarms_smtp_username, read_secret(variable, settings.alarms_smtp_password_file))
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.subject.split())
        mail["From"], mail["To"] = self._settings.alarms_email_from, self._settings.alarms_email_to
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="streamguard")
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail


class Command:
    """Runs a program with the text on its standard input."""

    name = "command"

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)

    def send(self, message: Message) -> None:
        """Exit code 0 has taken it."""
        program = self._argv[0]
        try:
            done = subprocess.run(
                self._argv, input=message.text, text=True, capture_output=True, timeout=COMMAND_WITHIN_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise NotSent(f"{program} has not ended within {COMMAND_WITHIN_S:g} s") from None
        except OSError as error:
            raise NotSent(f"{program} cannot be run: {error.strerror}") from None
        if done.returncode:
            said = " ".join(done.stderr.split())[-200:]
            raise NotSent(f"{program} ends with {done.returncode}{f': {said}' if said else ''}")


def receivers_of(settings: Settings) -> list[Receiver]:
    """Those that are set."""
    found: list[Receiver] = []
    if url := settings.alarms_webhook_url.get_secret_value():
        found.append(Webhook(url))
    if settings.alarms_email_to:
        found.append(Email(settings))
    if settings.alarms_command:
        found.append(Command(settings.alarms_command))
    return found
