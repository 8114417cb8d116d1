"""The codes FLW6xx: people and time."""

from __future__ import annotations

from orchestrator.analysis.codes_table import ERROR, WARNING, CodeInfo, flow, table


def _ask(ask: str, emit: str = "{approve: Stop, reject: Stop}", form: str = "{verdict: approve | reject}") -> str:
    lines = "\n".join(f"      {line}" for line in ask.strip("\n").split("\n"))
    return flow(
        f"steps:\n  review:\n    on: Start\n    ask:\n      title: Publish?\n      form: {form}\n{lines}\n    emit: {emit}"
    )


GROUPS = '[people.groups]\neditors = ["kim", "lee"]\n'

PEOPLE_CODES = table(
    CodeInfo(
        "FLW601",
        ERROR,
        "nobody may answer",
        "A request needs somebody who may answer it. Whoever is in `not` can never answer.",
        _ask("to: {users: [kim], not: [kim]}"),
        _ask("to: {users: [kim, lee], not: [kim]}"),
    ),
    CodeInfo(
        "FLW602",
        ERROR,
        "unknown group",
        "The project's `[people]` has groups, and this is none of them.",
        _ask("to: {groups: [editor]}"),
        _ask("to: {groups: [editors]}"),
        config=GROUPS,
    ),
    CodeInfo(
        "FLW603",
        ERROR,
        "a quorum of something else",
        "`quorum` names verdicts of the form, and groups that `to` names.",
        _ask("to: {users: [kim]}\nquorum: {aprove: 1}"),
        _ask("to: {users: [kim]}\nquorum: {approve: 1}"),
    ),
    CodeInfo(
        "FLW604",
        ERROR,
        "a quorum that cannot be reached",
        "More answers are needed than there are people who may answer.",
        _ask("to: {users: [kim]}\nquorum: {approve: 2}\ndeadline: 2d", "{approve: Stop, reject: Stop, timeout: Stop}"),
        _ask(
            "to: {users: [kim, lee]}\nquorum: {approve: 2}\ndeadline: 2d",
            "{approve: Stop, reject: Stop, timeout: Stop}",
        ),
    ),
    CodeInfo(
        "FLW605",
        ERROR,
        "a reminder after the deadline",
        "A reminder or an escalation must come before the request closes.",
        _ask("to: {users: [kim]}\nremind: [3d]\ndeadline: 2d", "{approve: Stop, reject: Stop, timeout: Stop}"),
        _ask("to: {users: [kim]}\nremind: [1d]\ndeadline: 2d", "{approve: Stop, reject: Stop, timeout: Stop}"),
    ),
    CodeInfo(
        "FLW606",
        ERROR,
        "nothing happens when time runs out",
        "A request with a `deadline` needs a way out for `timeout`, and a `wait` with `within` a step that listens to its "
        "`.timeout`. Silence is never consent.",
        _ask("to: {users: [kim]}\ndeadline: 2d"),
        _ask("to: {users: [kim]}\ndeadline: 2d", "{approve: Stop, reject: Stop, timeout: Stop}"),
    ),
    CodeInfo(
        "FLW608",
        ERROR,
        "a correction of what is not shown",
        "`edit` names a text of `show` that people may correct before they decide.",
        _ask("to: {users: [kim]}\nshow: {content: hello}\nedit: body"),
        _ask("to: {users: [kim]}\nshow: {body: hello}\nedit: body"),
    ),
    CodeInfo(
        "FLW609",
        WARNING,
        "several people and no deadline",
        "A quorum of several people without a deadline waits for ever for the one who does not answer.",
        _ask(
            "to: {users: [kim, lee, noa]}\nquorum: {approve: 2, reject: 2}",
            "{approve: Stop, reject: Stop, undecided: Stop}",
        ),
        _ask(
            "to: {users: [kim, lee, noa]}\nquorum: {approve: 2, reject: 2}\ndeadline: 2d",
            "{approve: Stop, reject: Stop, timeout: Stop}",
        ),
    ),
    CodeInfo(
        "FLW610",
        ERROR,
        "a cron that never fires",
        "The expression cannot be read, or names a day that does not exist. Five fields: minute, hour, day of month, month, "
        "day of week.",
        flow("triggers:\n  - cron: 0 6 30 2 *\nsteps:\n  work:\n    on: Start\n    emit: Stop"),
        flow("triggers:\n  - cron: 0 6 28 2 *\nsteps:\n  work:\n    on: Start\n    emit: Stop"),
    ),
    CodeInfo(
        "FLW612",
        WARNING,
        "retries that outlast the deadline",
        "The delays between the attempts add up to more than the step's `deadline`, so the last ones never happen.",
        flow(
            "steps:\n  work:\n    on: Start\n    call: http.get\n    with: {url: https://example.com}\n    deadline: 10s\n"
            "    retry: {max: 5, delay: 5s}\n    emit: Stop"
        ),
        flow(
            "steps:\n  work:\n    on: Start\n    call: http.get\n    with: {url: https://example.com}\n    deadline: 60s\n"
            "    retry: {max: 5, delay: 5s}\n    emit: Stop"
        ),
    ),
    CodeInfo(
        "FLW613",
        WARNING,
        "polling too fast",
        "Polling more often than every 100 ms is a busy loop: it loads the other side and fills the log.",
        flow(
            "steps:\n  work:\n    on: Start\n    call: http.get\n    with: {url: https://example.com}\n"
            "    repeat: {until: result.status == 200, every: 10ms, max: 5}\n    emit: Stop"
        ),
        flow(
            "steps:\n  work:\n    on: Start\n    call: http.get\n    with: {url: https://example.com}\n"
            "    repeat: {until: result.status == 200, every: 5s, max: 5}\n    emit: Stop"
        ),
    ),
    CodeInfo(
        "FLW614",
        WARNING,
        "a step that may outlast the run",
        "The flow's `timeout` counts from the start of the run, waiting included. This step may take longer than that.",
        flow("timeout: 1h\nsteps:\n  work:\n    on: Start\n    wait: 2h\n    emit: Stop"),
        flow("timeout: 1d\nsteps:\n  work:\n    on: Start\n    wait: 2h\n    emit: Stop"),
    ),
)
