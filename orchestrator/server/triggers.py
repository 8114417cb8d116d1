"""What starts runs by itself: a trigger's condition and inputs, cron times, and the signatures of webhooks. Pure but for secrets.

A webhook is signed as the Standard Webhooks scheme says: HMAC-SHA256 with the flow's secret over `id.timestamp.body`, where id
and timestamp come in `webhook-id` and `webhook-timestamp` and the signature in the header that the flow names, as `v1,<base64>`
(several may stand there, apart by spaces), `sha256=<hex>` or plain hex.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.expr import ExprError, compile_expr, compile_value
from orchestrator.ir.durations import iso_utc
from orchestrator.ir.model import FlowIR, TriggerIR
from orchestrator.server.problems import Refused

Json = Any  # plain JSON
WINDOW_S = 300.0


def trigger_inputs(
    trigger: TriggerIR, now: float, ev: Json = None, meta: Mapping[str, Json] | None = None
) -> dict[str, Json] | None:
    """The inputs of the run that a trigger starts; None if its `when` is false.

    Raises: Refused 422 if the condition or an input cannot be worked out from what came.
    """
    scope = {"ev": ev if ev is not None else {}, "meta": dict(meta or {}), "now": iso_utc(now)}
    try:
        if trigger.when is not None and not compile_expr(trigger.when).evaluate(scope):
            return None
        return {name: compile_value(value).render(scope) for name, value in trigger.inputs.items()}
    except ExprError as error:
        raise Refused(
            422, "trigger.failed", f"the inputs of the run cannot be worked out from this: {error}"
        ) from error


def next_fire(trigger: TriggerIR, flow: FlowIR, after: float) -> float | None:
    """When a cron trigger is due after a time; None if never again."""
    from cronsim import CronSim, CronSimError

    zone = ZoneInfo(trigger.timezone or flow.timezone or "UTC")
    try:
        upcoming: datetime = next(CronSim(trigger.cron, datetime.fromtimestamp(after, UTC).astimezone(zone)))
    except (CronSimError, StopIteration):
        return None
    return upcoming.timestamp()


def signature_of(secret: str, message_id: str, timestamp: str, body: bytes) -> bytes:
    """The HMAC that a sender of a webhook makes."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return hmac.new(_key(secret), signed, hashlib.sha256).digest()


def check_signature(secret: str, headers: Mapping[str, str], header: str, body: bytes, now: float) -> str:
    """The id of a webhook whose signature is right and fresh. Raises: Refused 401."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    given = headers.get(header.lower(), "")
    if not message_id or len(message_id) > 256 or not timestamp or not given:
        raise _unsigned(f"it needs the headers webhook-id, webhook-timestamp and {header}")
    if not timestamp.isdigit() or len(timestamp) > 12 or abs(now - int(timestamp)) > WINDOW_S:
        raise _unsigned(f"its timestamp is more than {WINDOW_S:.0f} s away from this server's clock")
    expected = signature_of(secret, message_id, timestamp, body)
    if not any(hmac.compare_digest(expected, digest) for digest in _digests(given)):
        raise _unsigned("its signature is wrong")
    return message_id


def _digests(text: str) -> list[bytes]:
    found: list[bytes] = []
    for part in text.split()[:10]:
        version, mark, rest = part.partition(",")
        try:
            if mark:
                found += [base64.b64decode(rest, validate=True)] if version == "v1" else []
            else:
                found.append(bytes.fromhex(part.removeprefix("sha256=")))
        except (ValueError, binascii.Error):
            continue
    return found


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (ValueError, binascii.Error):
            return secret.encode()
    return secret.encode()


def _unsigned(why: str) -> Refused:
    return Refused(
        401, "webhook.signature", f"this webhook is not taken: {why}", "sign `id.timestamp.body` with HMAC-SHA256"
    )
