"""Flows to draw, as FlowIR written by hand: those of the seeds and the language page, and generated ones of any size."""

from __future__ import annotations

import random

from orchestrator.ir.model import (
    AskIR,
    AudienceIR,
    BodyIR,
    CallIR,
    CatchIR,
    EmitEntryIR,
    EmitIR,
    EscalateIR,
    EventIR,
    FlowIR,
    JoinIR,
    Origin,
    PolicyIR,
    RetryIR,
    StepIR,
    TriggerIR,
    WaitIR,
)

PYTHON = BodyIR(kind="python")


def flow_of(name: str, *steps: StepIR, start: str = "Start", stop: str = "Stop", **events: EventIR) -> FlowIR:
    """A flow whose events are declared from what its steps name, unless given."""
    known = dict(events)
    for event in (start, stop, *(e for s in steps for e in (*s.accepts, *s.emits))):
        kind = "start" if event == start else "stop" if event == stop else "plain"
        known.setdefault(event, EventIR(event, kind=kind))
    return FlowIR(name=name, events=known, steps={s.name: s for s in steps}, start=start, stop=(stop,))


def python_step(name: str, accepts: tuple[str, ...], emits: tuple[str, ...], join: JoinIR | None = None) -> StepIR:
    return StepIR(name, accepts=accepts, emits=emits, body=PYTHON, join=join)


def calling(target: str) -> BodyIR:
    return BodyIR(kind="call", call=CallIR(target))


def rule(*entries: EmitEntryIR, takes_all: bool = False) -> EmitIR:
    return EmitIR(entries, takes_all=takes_all)


def chain() -> FlowIR:
    return flow_of(
        "chain",
        StepIR("fetch", ("Start",), ("fetch.done",), calling("http.get")),
        StepIR("summarise", ("fetch.done",), ("Summary",), calling("llm.chat")),
        StepIR("publish", ("Summary",), ("Stop",), calling("http.post")),
    )


def feedback_monitor() -> FlowIR:
    return flow_of(
        "FeedbackMonitorWorkflow",
        python_step("begin", ("StartEvent", "LoopEvent"), ("GetFeedbackEvent", "StopEvent")),
        python_step("get_feedback", ("GetFeedbackEvent",), ("OrderEvent", "ClearEvent")),
        python_step("order", ("OrderEvent",), ("LoopEvent",)),
        python_step("clear", ("ClearEvent",), ("LoopEvent",)),
        start="StartEvent",
        stop="StopEvent",
    )


def complex_feedback_monitor() -> FlowIR:
    answers = ("OnlineFeedbackEvent", "OfflineFeedbackEvent", "PredictionResultEvent")
    return flow_of(
        "ComplexFeedbackMonitor",
        python_step("start", ("StartEvent",), ("OnlineEvent", "OfflineEvent", "TrendingPredictionEvent")),
        python_step("online_feedback", ("OnlineEvent",), answers[:1]),
        python_step("offline_feedback", ("OfflineEvent",), answers[1:2]),
        python_step("trending_predict", ("TrendingPredictionEvent",), answers[2:]),
        python_step("trading_decision", answers, ("TradeEvent",), JoinIR("each", events=answers)),
        python_step("trade", ("TradeEvent",), ("StopEvent",)),
        start="StartEvent",
        stop="StopEvent",
    )


def content_approval() -> FlowIR:
    """The full example of LANGUAGE.md section 1."""
    write = StepIR(
        "write",
        ("Start", "NeedsWork"),
        ("Drafted",),
        calling("llm.chat"),
        set={"round": {"$expr": "state.round + 1"}},
        emit=rule(EmitEntryIR("Drafted")),
        policy=PolicyIR(timeout_s=60, retry=RetryIR(max=3, delay_s=1), max_visits=4),
        description="Writes a draft about the topic, with the notes of the last round.",
        origin=Origin("draft-review-publish.flow.yaml", 24),
    )
    ask = AskIR(
        title={"$text": ['Publish "', {"$expr": "inputs.topic"}, '"?']},
        verdict_field="verdict",
        verdicts=("approve", "rework"),
        to=AudienceIR(groups=("editors", "legal"), exclude=({"$expr": "inputs.author"},)),
        quorum={"approve": {"editors": 1, "legal": 1}, "rework": 1},
        remind=("4h", "20h"),
        escalate=EscalateIR("1d", AudienceIR(groups=("chiefs",))),
        deadline="fri 17:00",
    )
    review = StepIR(
        "review",
        ("Drafted",),
        ("Approved", "NeedsWork", "Dropped"),
        BodyIR(kind="ask", ask=ask),
        emit=rule(
            EmitEntryIR("Approved", when='outcome == "approve"'),
            EmitEntryIR("NeedsWork", when='outcome == "rework" and state.round < inputs.max_rounds'),
            EmitEntryIR("Dropped"),
        ),
    )
    stop = rule(EmitEntryIR("Stop"))
    publish = StepIR("publish", ("Approved",), ("Stop",), calling("http.post"), emit=stop)
    drop = StepIR("drop", ("Dropped",), ("Stop",), emit=stop)
    return flow_of("draft-review-publish", write, review, publish, drop)


def summarise_sections() -> FlowIR:
    """A fan-out with `for_each`, a join of all, a time-out of the join and a handler of failed members."""
    split = StepIR(
        "split",
        ("Start",),
        ("Section",),
        calling("text.split"),
        emit=rule(EmitEntryIR("Section", for_each="result.sections", site="split")),
        fans=("split",),
    )
    summarise = StepIR(
        "summarise",
        ("Section",),
        ("Summary",),
        calling("llm.chat"),
        emit=rule(EmitEntryIR("Summary")),
        catch=(CatchIR(("llm.rate_limit", "timeout"), "Summary"),),
        policy=PolicyIR(concurrency=4, retry=RetryIR(max=3)),
    )
    merge = StepIR(
        "merge",
        ("Summary",),
        ("Stop", "Late"),
        emit=rule(EmitEntryIR("Stop")),
        join=JoinIR("all", within="2h", on_timeout="Late"),
    )
    late = StepIR("tell_editor", ("Late",), ("Failed",), calling("notify.mail"), emit=rule(EmitEntryIR("Failed")))
    flow = flow_of("summarise-sections", split, summarise, merge, late, Failed=EventIR("Failed", kind="failed"))
    return FlowIR(name=flow.name, events=flow.events, steps=flow.steps, joins_of={"split": ("merge",)})


def order_saga() -> FlowIR:
    """A saga with undo, a wait for an outside event, a catch-all handler and triggers."""
    names = ("reserve_stock", "charge_card", "book_courier", "send_receipt", "close_order")
    undo = {"reserve_stock": "stock.release", "charge_card": "pay.refund", "book_courier": "courier.cancel"}
    steps = []
    for n, name in enumerate(names):
        source = "Start" if n == 0 else f"{names[n - 1]}.done" if n != 3 else "wait_paid.done"
        target = "Stop" if n == len(names) - 1 else f"{name}.done"
        call = CallIR(undo[name]) if name in undo else None
        steps.append(StepIR(name, (source,), (target,), calling(f"shop.{name}"), undo=call))
    wait = BodyIR(kind="wait", wait=WaitIR(event="Paid", within="3d"))
    steps.append(StepIR("wait_paid", ("book_courier.done",), ("wait_paid.done", "wait_paid.timeout"), wait))
    steps.append(StepIR("dunning", ("wait_paid.timeout",), ("Failed",), calling("flow.dunning")))
    steps.append(StepIR("on_failure", (), ("Failed",), calling("notify.slack"), recovers=("*",)))
    flow = flow_of("order-saga", *steps, Paid=EventIR("Paid", external=True), Failed=EventIR("Failed", kind="failed"))
    triggers = (TriggerIR("webhook", path="/orders"), TriggerIR("cron", cron="0 7 * * mon", timezone="Europe/Berlin"))
    return FlowIR(name=flow.name, events=flow.events, steps=flow.steps, triggers=triggers)


def ask_outside() -> FlowIR:
    """A Python workflow that asks somebody outside and goes on with the answer."""
    return flow_of(
        "ask-outside",
        python_step("begin", ("Start",), ("Question",)),
        python_step("finish", ("Reply",), ("Stop",)),
        Question=EventIR("Question", kind="ask"),
        Reply=EventIR("Reply", kind="answer"),
    )


def generated(size: int, seed: int = 7) -> FlowIR:
    """A flow of many steps with branches, loops and joins, mostly local, as people write them; the same every time."""
    rng = random.Random(seed)
    takes: dict[int, list[str]] = {n: [f"E{n}"] for n in range(size)}
    takes[0] = ["Start"]
    steps = []
    for n in range(size):
        ahead = [t for t in (n + 1, n + 2, n + 3) if t < size]
        emits = [f"E{t}" for t in ahead[: rng.choice((1, 1, 1, 2, 3))]] or ["Stop"]
        if n > 5 and rng.random() < 0.12:
            emits.append(f"E{max(1, n - rng.randrange(1, 8))}")
        entries = [EmitEntryIR(e, when=f"result.kind == {i}" if i else None) for i, e in enumerate(emits)]
        body = rng.choice((calling("http.get"), calling("llm.chat"), PYTHON, BodyIR()))
        steps.append(StepIR(f"step_{n}", tuple(takes[n]), tuple(emits), body, emit=rule(*reversed(entries))))
    return flow_of(f"generated-{size}", *steps)


SMALL = {
    "chain": chain,
    "feedback": feedback_monitor,
    "complex": complex_feedback_monitor,
    "approval": content_approval,
    "sections": summarise_sections,
    "saga": order_saga,
    "outside": ask_outside,
}


def star(size: int) -> FlowIR:
    """One step that emits to many, which one other collects."""
    arms = tuple(f"A{n}" for n in range(size))
    backs = tuple(f"B{n}" for n in range(size))
    steps = [python_step("open", ("Start",), arms)]
    steps += [python_step(f"arm_{n}", (arms[n],), (backs[n],)) for n in range(size)]
    steps.append(python_step("close", backs, ("Stop",), JoinIR("each", events=backs)))
    return flow_of("star", *steps)


def comb(size: int) -> FlowIR:
    """One step with several ways on, each of which comes back to it."""
    fan, backs = ([f"{letter}{n}" for n in range(size)] for letter in "AB")
    arms = [python_step(f"arm{n}", (fan[n],), (backs[n], "Stop")) for n in range(size)]
    return flow_of("comb", python_step("open", ("Start", *backs), tuple(fan)), *arms)


def ladder(size: int) -> FlowIR:
    """A chain in which every step may also fail to one handler, stop, or go back to the first step."""
    steps = []
    for n in range(size):
        emits = (f"E{n + 1}" if n + 1 < size else "Stop", "Stop", "Bad", "Again")
        steps.append(python_step(f"s{n}", (f"E{n}",) if n else ("Start", "Again"), tuple(dict.fromkeys(emits))))
    steps.append(python_step("mend", ("Bad",), ("Stop",)))
    return flow_of("ladder", *steps)


def crowd(size: int) -> FlowIR:
    """Many emitters and as many listeners of one event."""
    steps = [python_step("open", ("Start",), ("Go",))]
    steps += [python_step(f"a{n}", ("Go",), ("News",)) for n in range(size)]
    steps += [python_step(f"b{n}", ("News",), ("Stop",)) for n in range(size)]
    return flow_of("crowd", *steps)


def layers(width: int, depth: int) -> FlowIR:
    """Full bipartite hops between rows of steps, by an event for each pair: the worst for crossings."""
    steps = [python_step("open", ("Start",), tuple(f"R0-{n}" for n in range(width)))]
    for d in range(depth):
        for n in range(width):
            takes = (f"R0-{n}",) if d == 0 else tuple(f"R{d}-{m}-{n}" for m in range(width))
            emits = ("Stop",) if d == depth - 1 else tuple(f"R{d + 1}-{n}-{m}" for m in range(width))
            steps.append(python_step(f"s{d}_{n}", takes, emits))
    return flow_of("layers", *steps)


HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" and 'single'",
    "back`tick` ${x} #{y}",
    "line one\nline two\r\n\ttab",
    "</title></svg><img src=x onerror=alert(1)>",
    "]]> --> <!-- %% ; | & &amp; \\N \\l \\",
    'end]"] --> n9["x"]:::y\nclick n0 call alert(1)',
    "digraph { a -> b } // /* */",
    "数据 流程 😀 e\u0301 \u202egnp.exe \u2066x",
    "\x1b[31mred\x1b[0m \x07 \x00 \ud800 \ufffe",
    "1. first\n- second\n# third",
    "",
)


def hostile() -> FlowIR:
    """A flow in which every name, title and text is an attack."""
    names = [text or "empty" for text in HOSTILE]
    steps = []
    for n, name in enumerate(names):
        out = names[n + 1] if n + 1 < len(names) else "Stop"
        ask = AskIR(title={"$text": [name, {"$expr": name}]}, to=AudienceIR(groups=(name,)), quorum={name: {name: 1}})
        steps.append(
            StepIR(
                name,
                (f"ev {name}",) if n else ("Start",),
                (f"ev {out}" if out != "Stop" else out,),
                BodyIR(kind="ask", ask=ask) if n % 2 else calling(name),
                guard=name,
                emit=rule(
                    EmitEntryIR(f"ev {out}" if out != "Stop" else out, when=name, for_each=name), EmitEntryIR(None)
                ),
                catch=(CatchIR((name,), f"ev {out}" if out != "Stop" else out),),
                title=HOSTILE[n],
                description=name,
                origin=Origin(name, 1),
            )
        )
    flow = flow_of(names[0], *steps)
    return FlowIR(name=names[0], title=names[4], description=names[3], events=flow.events, steps=flow.steps)
