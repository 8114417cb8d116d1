"""Sending mail over the project's own SMTP server. A flow chooses words and receivers, never the server or the sender."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parseaddr

from orchestrator.errors import StepError
from orchestrator.plugin.config import SmtpConfig
from orchestrator.plugin.secrets import Provider, SecretVault

TIMEOUT_S = 30.0
MAX_RECEIVERS = 100


@dataclass(frozen=True, slots=True)
class Mail:
    """One message. `html` is a second form of the same text."""

    to: tuple[str, ...]
    subject: str
    text: str
    html: str = ""
    reply_to: str = ""
    message_id: str = ""


class Mailer:
    """Sends mail by `[smtp]` of the project.

    Example:
        async def tell(mailer: Mailer, to: str) -> None:
            await mailer.send(Mail((to,), "Done", "The report is ready."))
    """

    def __init__(self, config: SmtpConfig, provider: Provider, vault: SecretVault | None = None) -> None:
        self._vault = vault
        self._config = config
        self._provider = provider

    async def send(self, mail: Mail) -> None:
        """Hand one message to the server. Raises: StepError `mail.not_configured`, `mail.refused`, `mail.failed`."""
        config = self._config
        if not config.host or not config.sender:
            raise StepError("mail.not_configured", "no mail server is configured; set [smtp] host and sender")
        if self._vault is not None:
            self._vault.refuse_in("\n".join((mail.subject, mail.text, mail.html, *mail.to)), "a mail")
        message = build_message(mail, config.sender)
        password = self._provider(config.password) if config.password else None
        if config.password and password is None:
            raise StepError("secret.missing", f"secret {config.password} ([smtp] password) is not set")
        try:
            await asyncio.to_thread(deliver, message, config, password)
        except smtplib.SMTPRecipientsRefused as problem:
            refused = ", ".join(problem.recipients)
            raise StepError("mail.refused", f"{config.host} refused {refused}", details={"refused": refused}) from None
        except smtplib.SMTPResponseException as problem:
            code = "mail.refused" if problem.smtp_code >= 500 else "mail.failed"
            text = problem.smtp_error.decode(errors="replace") if isinstance(problem.smtp_error, bytes) else ""
            raise StepError(code, f"{config.host} answered {problem.smtp_code} {text[:200]}") from None
        except (OSError, smtplib.SMTPException) as problem:
            raise StepError("mail.failed", f"{config.host}:{config.port} cannot be used: {problem}") from None


def build_message(mail: Mail, sender: str) -> EmailMessage:
    """The message as it is sent. Raises: StepError `type.payload` for an address or subject that cannot stand in a header."""
    if not mail.to or len(mail.to) > MAX_RECEIVERS:
        raise StepError("type.payload", f"a mail has 1 to {MAX_RECEIVERS} receivers")
    for address in (*mail.to, *((mail.reply_to,) if mail.reply_to else ())):
        if not is_address(address):
            raise StepError("type.payload", f'"{address[:80]}" is no mail address')
    message = EmailMessage()
    try:
        message["From"] = sender
        message["To"] = ", ".join(mail.to)
        message["Subject"] = mail.subject
        if mail.reply_to:
            message["Reply-To"] = mail.reply_to
        if mail.message_id:
            message["Message-ID"] = mail.message_id
    except ValueError as problem:
        raise StepError("type.payload", f"a mail header cannot hold this: {problem}") from None
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message


def is_address(text: str) -> bool:
    """Whether a text is one address, with or without a name in front."""
    address = parseaddr(text)[1]
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain) and not any(c in text for c in "\r\n\0,;") and " " not in address


def deliver(message: EmailMessage, config: SmtpConfig, password: str | None) -> None:
    """Blocking delivery over one connection. Raises: OSError, smtplib.SMTPException."""
    if config.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            config.host, config.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(config.host, config.port, timeout=TIMEOUT_S)
    with server:
        if config.tls == "starttls":
            server.starttls(context=ssl.create_default_context())
        if config.user and password is not None:
            server.login(config.user, password)
        server.send_message(message)
