"""`notify.*`: tell people by webhook, mail or Slack. A message is sent once per step, whatever the attempts."""

from __future__ import annotations

import hashlib
import hmac
import json as json_format
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from orchestrator.plugin import Clock, Context, HttpClient, HttpRequest, Mail, Mailer, Plugin, Secret, StepError

Json = Any  # plain JSON
HTTP_ERRORS = ("http.4xx", "http.5xx", "http.connect", "http.blocked", "http.protocol", "http.redirect", "timeout")
MAIL_ERRORS = ("mail.not_configured", "mail.refused", "mail.failed", "secret.missing", "secret.denied")
Receivers = Annotated[list[str] | str, Field(description="One address or several.")]
plugin = Plugin("notify", doc="Tell people.")


class Sent(TypedDict):
    """What became of a message."""

    status: int
    id: str


@plugin.step(errors=HTTP_ERRORS, idempotent=True)
async def webhook(
    http: HttpClient,
    ctx: Context,
    clock: Clock,
    url: Annotated[str, Field(description="Where to post.", min_length=1)],
    payload: Annotated[Json, Field(description="The JSON body.")],
    secret: Annotated[Secret | None, Field(description="Sign the body with it.")] = None,
    headers: Annotated[dict[str, str] | None, Field(description="More headers.")] = None,
) -> Sent:
    """Post JSON to a URL.

    With `secret`, `X-Signature` is `t=<seconds>,v1=<HMAC-SHA256 of "seconds.body">`: the receiver can check sender and age.
    """
    body = json_format.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    given = {"Content-Type": "application/json", "X-Event-Id": ctx.idempotency_key} | (headers or {})
    if secret is not None:
        given["X-Signature"] = sign(body, secret.reveal(), int(clock.now()))
    response = await http.send(HttpRequest("POST", url, headers=given, content=body))
    http.check(response)
    return Sent(status=response.status, id=ctx.idempotency_key)


@plugin.step(errors=(*HTTP_ERRORS, "slack.refused"), idempotent=False)
async def slack(
    http: HttpClient,
    ctx: Context,
    webhook_url: Annotated[str, Field(description="An incoming-webhook URL, from a secret.", min_length=1)],
    text: Annotated[str, Field(description="The message, in Slack's markup.", min_length=1)],
    blocks: Annotated[list[Json] | None, Field(description="Slack blocks, for more than text.")] = None,
    thread: Annotated[str | None, Field(description="Timestamp of the message to answer.")] = None,
) -> Sent:
    """Post a message to a Slack channel."""
    message: dict[str, Json] = {"text": text}
    if blocks is not None:
        message["blocks"] = blocks
    if thread is not None:
        message["thread_ts"] = thread
    response = await http.send(HttpRequest("POST", webhook_url, json=message))
    http.check(response)
    if response.text.strip() not in ("ok", "") and not response.is_json:
        raise StepError("slack.refused", f"Slack answered {response.text[:100]!r}")
    return Sent(status=response.status, id=ctx.idempotency_key)


@plugin.step(errors=MAIL_ERRORS, idempotent=False)
async def email(
    mailer: Mailer,
    ctx: Context,
    to: Receivers,
    subject: Annotated[str, Field(min_length=1, max_length=500)],
    text: Annotated[str, Field(description="The message as plain text.")],
    html: Annotated[str, Field(description="The same as HTML.")] = "",
    reply_to: str = "",
) -> Sent:
    """Send a mail over the project's server ([smtp] of the config).

    All attempts carry one Message-ID, by which mail programs show a message once.
    """
    receivers = (to,) if isinstance(to, str) else tuple(to)
    digest = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:32]
    message_id = f"<{digest}@orchestrator.invalid>"
    await mailer.send(Mail(receivers, subject, text, html, reply_to, message_id))
    return Sent(status=250, id=message_id)


def sign(body: str, secret: str, at: int) -> str:
    """The signature header of a webhook body."""
    digest = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
