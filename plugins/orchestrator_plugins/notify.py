"""`notify.*`: tell people by webhook, mail or Slack. A message is sent once per step, whatever the attempts."""

from __future__ import annotations

import hashlib
import hmac
import json as json_format
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from orchestrator.plugin import Clock, Context, HttpClient, HttpRequest, Mail, Mailer, Notice, Plugin, Secret, StepError

Json = Any  # plain JSON
HTTP_ERRORS = ("http.4xx", "http.5xx", "http.connect", "http.blocked", "http.protocol", "http.redirect", "timeout")
MAIL_ERRORS = ("mail.not_configured", "mail.refused", "mail.failed", "secret.missing", "secret.denied")
SLACK_ERRORS = (*HTTP_ERRORS, "slack.refused", "secret.missing", "secret.denied")
WORDS = {
    "opened": "Please decide",
    "reminded": "Still waiting for you",
    "escalated": "Nobody has decided",
    "delegated": "Handed over to you",
}
Receivers = Annotated[list[str] | str, Field(description="One address or several.")]
plugin = Plugin("notify", doc="Tell people.")


class Sent(TypedDict):
    """What became of a message."""

    status: int
    id: str


@plugin.step(
    errors=HTTP_ERRORS,
    idempotent=True,
    examples=[{"with": {"url": "https://shop.example/hook", "payload": {"order": 7}, "secret": "${{ secrets.HOOK }}"}}],
)
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


@plugin.step(
    errors=(*HTTP_ERRORS, "slack.refused"),
    idempotent=False,
    examples=[{"with": {"webhook_url": "${{ secrets.SLACK }}", "text": "*Trees* is out"}}],
)
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


@plugin.step(
    errors=MAIL_ERRORS,
    idempotent=False,
    examples=[{"with": {"to": ["kim@example.org"], "subject": "Trees is out", "text": "Read it at the usual place."}}],
)
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


@plugin.step(errors=MAIL_ERRORS, idempotent=False)
async def people_by_mail(
    mailer: Mailer, ctx: Context, notice: Annotated[Notice, Field(description="What happened to which request.")]
) -> list[str]:
    """Tell the people of a request by mail, each with a link of their own: `[people] notify = ["notify.people_by_mail"]`.

    Gives the names of those who were told. People without an address are left out.
    """
    told = []
    for person in notice["to"]:
        if not person["email"]:
            continue
        digest = hashlib.sha256(f"{ctx.idempotency_key}/{person['name']}".encode()).hexdigest()[:32]
        text = message_text(notice, person["link"] or notice["url"])
        subject = f"{WORDS[notice['what']]}: {' '.join(notice['title'].split())}"[:200]
        await mailer.send(Mail((person["email"],), subject, text, message_id=f"<{digest}@orchestrator.invalid>"))
        told.append(person["name"])
    return told


@plugin.step(errors=SLACK_ERRORS, idempotent=False, secrets=["SLACK_WEBHOOK_URL"], hosts=["hooks.slack.com"])
async def people_by_slack(
    http: HttpClient,
    slack_webhook_url: Secret,
    notice: Annotated[Notice, Field(description="What happened to which request.")],
) -> int:
    """Tell a Slack channel of requests to people: `[people] notify = ["notify.people_by_slack"]`.

    The secret SLACK_WEBHOOK_URL is the channel's incoming webhook. A channel gets no personal links.
    """
    who = ", ".join([person["name"] for person in notice["to"]] or notice["groups"]) or "anybody"
    text = f"*{WORDS[notice['what']]}*: {_slack_text(message_text(notice, notice['url']))}\nFor {_slack_text(who)}"
    response = await http.send(HttpRequest("POST", slack_webhook_url.reveal(), json={"text": text}))
    http.check(response)
    if response.text.strip() not in ("ok", "") and not response.is_json:
        raise StepError("slack.refused", f"Slack answered {response.text[:100]!r}")
    return response.status


def message_text(notice: Notice, link: str) -> str:
    """A notice in words."""
    lines = [notice["title"], f"It was asked by the flow {notice['flow']}."]
    if notice["due_at"]:
        lines.append(f"It is due at {notice['due_at']}.")
    lines.append(f"Decide here: {link}" if link else f"Decide with: orchestrator inbox (run {notice['run_id']})")
    return "\n".join(lines)


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sign(body: str, secret: str, at: int) -> str:
    """The signature header of a webhook body."""
    digest = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
