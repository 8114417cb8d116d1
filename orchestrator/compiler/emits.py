"""Lowers `emit` and `catch`: targets, the short form of an ask, fan-out sites, and the filling of fields."""

from __future__ import annotations

from orchestrator.analysis.report import Report
from orchestrator.compiler.filling import Filled, Supply, fill_fields
from orchestrator.compiler.linking import Names, Target
from orchestrator.compiler.schemas import properties_of
from orchestrator.compiler.shapes import Shapes, ask_outcomes
from orchestrator.compiler.values import map_to_ir
from orchestrator.diagnostics import Span
from orchestrator.expr.suggest import nearest
from orchestrator.ir.model import CatchIR, EmitEntryIR, EmitIR, FillIR, Json, Value
from orchestrator.language.spec import EmitEntry, Name, StepSpec

RESULT: Value = {"$expr": "result"}


class EmitLowering:
    """Lowers the ways out of the steps of one flow."""

    def __init__(self, names: Names, shapes: Shapes, report: Report) -> None:
        self._names = names
        self._shapes = shapes
        self._report = report
        self._last: tuple[StepSpec, tuple[Json, ...]] | None = None

    def lower(self, step: StepSpec) -> EmitIR:
        """The ways out of a step; without `emit` it ends in `<step>.done`."""
        name = step.name.value
        spec = step.emit
        if spec is None:
            return EmitIR((EmitEntryIR(event=f"{name}.done", with_={"result": RESULT}),))
        sites = _sites(name, spec.entries)
        entries = tuple([self._entry(step, entry, site) for entry, site in zip(spec.entries, sites, strict=True)])
        takes_all = spec.mode == "all"
        return EmitIR(entries, takes_all, f"{name}#all" if takes_all else "")

    def catches(self, step: StepSpec) -> tuple[CatchIR, ...]:
        """The entries of `catch`."""
        out = []
        for caught in step.catch:
            target = self._names.target(caught.event.value)
            with_ = map_to_ir(caught.with_)
            fill: tuple[FillIR, ...] = ()
            if target.event is not None:
                supply = Supply(None, self._ev(step), has_error=True)
                fill, constants = self._fill(step, target, with_, supply, None, caught.event)
                with_ = {**with_, **constants}
            errors = tuple(code.value for code in caught.errors)
            out.append(CatchIR(errors, target.event, with_, fill, target.step))
        return tuple(out)

    def _entry(self, step: StepSpec, entry: EmitEntry, site: str) -> EmitEntryIR:
        target = self._names.target(entry.event.value)
        with_ = map_to_ir(entry.with_)
        fill: tuple[FillIR, ...] = ()
        if target.event is not None:
            supply = Supply(None if step.verb is None else self._shapes.result(step), self._ev(step))
            fill, constants = self._fill(step, target, with_, supply, entry, entry.event)
            with_ = {**with_, **constants}
        return EmitEntryIR(
            event=target.event,
            when=self._condition(step, entry),
            with_=with_,
            fill=fill,
            set=map_to_ir(entry.set),
            for_each=None if entry.for_each is None else entry.for_each.text,
            starts=target.step,
            cancels=entry.cancels,
            drain_s=None if entry.drain is None else entry.drain.value.seconds,
            site=site,
        )

    def _condition(self, step: StepSpec, entry: EmitEntry) -> str | None:
        if entry.outcome is None:
            return None if entry.when is None else entry.when.text
        outcome = entry.outcome.value
        known = () if step.ask is None else ask_outcomes(step.ask)
        if outcome not in known:
            self._report_outcome(step, entry.outcome.value, entry, known)
            outcome = nearest(outcome, known) or outcome  # a misspelt one counts as the one that was meant
        test = f'outcome == "{outcome}"'
        return test if entry.when is None else f"{test} and ({entry.when.text})"

    def _report_outcome(self, step: StepSpec, outcome: str, entry: EmitEntry, known: tuple[str, ...]) -> None:
        assert entry.outcome is not None
        if step.ask is None:
            self._report.add(
                "FLW418",
                f"step `{step.name.value}` has no `ask`, so it has no outcome `{outcome}`",
                entry.outcome.span,
                help="use a list of entries with `when`",
            )
            return
        guess = nearest(outcome, known)
        missing_deadline = outcome == "timeout"
        self._report.add(
            "FLW418",
            f"`{outcome}` is no outcome of step `{step.name.value}`",
            entry.outcome.span,
            help="its `ask` has no `deadline`, so it never times out"
            if missing_deadline
            else f"did you mean `{guess}`?"
            if guess
            else f"its outcomes are {', '.join(f'`{name}`' for name in known)}",
            fix=self._report.replace(entry.outcome.span, guess) if guess and not missing_deadline else None,
        )

    def _ev(self, step: StepSpec) -> tuple[Json, ...]:
        """The fields of what the step takes; its ways out come one after another, so the last answer is kept."""
        if self._last is None or self._last[0] is not step:
            found = () if step.collect is not None else tuple(self._shapes.ev_members(step))
            if any(event is True for event in found):  # a misspelt event has the fields of the one that was meant
                found = tuple([self._shapes.event(self._names.meant(name)) for name in self._names.accepts(step)])
            self._last = (step, found)
        return self._last[1]

    def _fill(
        self,
        step: StepSpec,
        target: Target,
        with_: dict[str, Value],
        supply: Supply,
        entry: EmitEntry | None,
        at: Name,
    ) -> tuple[tuple[FillIR, ...], dict[str, Value]]:
        assert target.event is not None
        if target.step is not None:
            return self._pass_on(step, with_, supply), {}
        filled = fill_fields(self._shapes.event(target.event), frozenset(with_), supply)
        if filled.missing and not any(event is True for event in supply.ev):  # else who sends is not known
            self._report_missing(step, target.event, filled, frozenset(with_), at.span)
        if filled.dropped_for is not None and entry is not None and not _reads_result(step):
            self._report_dropped(step, target.event, filled.dropped_for, at.span)
        return filled.fills, {name: _literal(value) for name, value in filled.constants.items()}

    def _pass_on(self, step: StepSpec, with_: dict[str, Value], supply: Supply) -> tuple[FillIR, ...]:
        """A step that is started by name gets the fields of this step's event, and its result."""
        names = dict.fromkeys(name for event in supply.ev for name in properties_of(event))
        fills = [FillIR(name, "ev") for name in names if name not in with_ and name != "result"]
        if supply.result is not None and "result" not in with_:
            fills.append(FillIR("result", "scalar"))
        elif "result" in names and "result" not in with_:
            fills.append(FillIR("result", "ev"))
        return tuple(fills)

    def _report_missing(self, step: StepSpec, event: str, filled: Filled, given: frozenset[str], at: Span) -> None:
        odd = given - properties_of(self._shapes.event(event)).keys()
        meant = {nearest(name, filled.missing) for name in odd}  # that a given name is misspelt is said where it stands
        missing = [name for name in filled.missing if name not in meant]
        if not missing:
            return
        names = ", ".join(f"`{name}`" for name in missing)
        reasons = {
            "result": "the result has a field of that name, of another type",
            "ev": "`ev` has a field of that name, of another type",
            "some": "only some of the events of `on` have it",
        }
        near = next((reasons[filled.near_misses[name]] for name in missing if name in filled.near_misses), None)
        what = "the output" if event == "Stop" else f"`{event}` needs"
        text = f"{what} {names}{' is' if event == 'Stop' and len(missing) == 1 else ' are' if event == 'Stop' else ''}"
        message = f"{text} not given" if event == "Stop" else f"{text}, which this `emit` does not give"
        declared = ("outputs",) if event == "Stop" else ("events", event)
        first = missing[0]
        self._report.add(
            "FLW501",
            message,
            at,
            help=f"add `with: {{{first}: …}}`" + (f" ({near})" if near else ""),
            related=self._report.related((*declared, first), f"`{first}` is declared here"),
        )

    def _report_dropped(self, step: StepSpec, event: str, field: str, at: Span) -> None:
        self._report.add(
            "FLW520",
            f"the result of step `{step.name.value}` is dropped: `{field}` of `{event}` is filled from `ev.{field}`",
            at,
            help=f"to send the result write `with: {{{field}: ${{{{ result }}}}}}`, else `${{{{ ev.{field} }}}}`",
        )


def _reads_result(step: StepSpec) -> bool:
    """Whether any way out of the step looks at its result."""
    for entry in step.emit.entries if step.emit is not None else ():
        for text in (entry.when, entry.for_each):
            if text is not None and "result" in text.text:
                return True
        if "result" in str(map_to_ir(entry.with_)) or "result" in str(map_to_ir(entry.set)):
            return True
    return step.undo is not None and "result" in str(map_to_ir(step.undo.with_))


def _literal(value: Value) -> Value:
    if isinstance(value, dict) and any(key.startswith("$") for key in value):
        return {"$lit": value}
    return value


def _sites(name: str, entries: tuple[EmitEntry, ...]) -> list[str]:
    """The site of every entry that fans out: the step's name, or numbered where there are several."""
    fanning = sum([1 for entry in entries if entry.for_each is not None])
    if not fanning:
        return [""] * len(entries)
    sites: list[str] = []
    count = 0
    for entry in entries:
        if entry.for_each is None:
            sites.append("")
            continue
        count += 1
        sites.append(name if fanning == 1 else f"{name}#{count}")
    return sites
