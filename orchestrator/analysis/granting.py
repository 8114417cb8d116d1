"""What a flow needs of the project around it and may not have there: secrets, programs, hosts of this machine or network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.analysis.facts import Facts
from orchestrator.analysis.report import Report
from orchestrator.analysis.values import calls_of
from orchestrator.expr.suggest import nearest
from orchestrator.ir.model import CallIR, Value
from orchestrator.ir.record import record

PORTS = {"http": 80, "https": 443}


@record
class Here:
    """What the project grants; None where that is not known.

    `groups` are its people, `is_secret_set` tells whether a secret has a value, `may_run` whether a program is allowed,
    `refused` why a host and port are not reached (None: they are, or nobody knows before the name is looked up).
    """

    groups: Mapping[str, tuple[str, ...]] | None = None
    is_secret_set: Callable[[str], bool] | None = None
    may_run: Callable[[str], bool] | None = None
    refused: Callable[[str, int], str | None] | None = None


def check_secrets(facts: Facts, report: Report, names: Mapping[str, frozenset[str]], here: Here) -> None:
    """FLW706, FLW707: secrets that have no value, and secrets that nothing uses."""
    flow = facts.flow
    if not flow.secrets:
        return
    used = {path.split(".")[1] for paths in names.values() for path in paths if path.startswith("secrets.")}
    used |= {nearest(name, flow.secrets) or name for name in used}  # a misspelt use is a use
    used |= {str(trigger.verify.get("hmac")) for trigger in flow.triggers if trigger.verify}
    for name in flow.secrets:
        if name not in used:
            report.add("FLW707", f"the secret `{name}` is asked for, but nothing uses it", ("secrets", name))
        elif here.is_secret_set is not None and not here.is_secret_set(name):
            report.add(
                "FLW706",
                f"the secret `{name}` has no value here",
                ("secrets", name),
                help=f"set the environment variable `{name}`, or add it to `.env`",
            )


def check_reach(facts: Facts, report: Report, here: Here) -> None:
    """FLW711: programs and hosts that stand in the flow and that the project does not allow."""
    for step in facts.flow.steps.values():
        for call, path, _ in calls_of(step):
            if call.target == "process.run" and here.may_run is not None:
                program = _program(call)
                if program is not None and not here.may_run(program):
                    report.add(
                        "FLW711",
                        f"step `{step.name}` runs `{program}`, which this project does not allow",
                        (*path, "with", "command"),
                        help=f'an operator allows it in orchestrator.toml: [process] allow = ["{program}"]',
                    )
            elif call.target.startswith("http.") and here.refused is not None:
                host, port = _host(call.with_.get("url"))
                reason = here.refused(host, port) if host else None
                if reason is not None:
                    report.add(
                        "FLW711",
                        f"step `{step.name}` calls `{host}`, {reason}, which this project does not allow",
                        (*path, "with", "url"),
                        help=f'an operator allows it in orchestrator.toml: [http] allow_hosts = ["{host}"]',
                    )


def _program(call: CallIR) -> str | None:
    command = call.with_.get("command")
    first = command[0] if isinstance(command, list | tuple) and command else None
    return first if isinstance(first, str) else None


def _host(url: Value) -> tuple[str, int]:
    """Host and port of an address as far as its fixed beginning tells; "" where it does not."""
    text = url["$text"][0] if isinstance(url, dict) and "$text" in url else url
    if not isinstance(text, str):
        return "", 0
    scheme, marker, rest = text.partition("://")
    authority = rest.partition("/")[0].partition("?")[0].rpartition("@")[2]
    is_cut = text is not url and len(authority) == len(rest)  # the rest of the host comes from an expression
    if not marker or scheme not in PORTS or not authority or is_cut:
        return "", 0
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdigit():
        host, port = authority, str(PORTS[scheme])
    return host.strip("[]").lower(), int(port[:6])
