"""Unfinished runs that keep an older version of a flow whose file has changed: what `check` and `dev` say of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.output import plural

if TYPE_CHECKING:  # loads the codecs
    from orchestrator.ir.model import FlowIR


@dataclass(frozen=True, slots=True)
class Kept:
    """Unfinished runs that stay with an older version of a flow."""

    flow: str
    file: Path
    runs: int
    versions: tuple[str, ...]

    @property
    def text(self) -> str:
        """The same in a sentence."""
        verb = "keeps" if self.runs == 1 else "keep"
        them = "it" if self.runs == 1 else "them"
        return (
            f"`{self.flow}`: {plural(self.runs, 'unfinished run')} {verb} version {', '.join(self.versions)}; "
            f"`orchestrator diff {self.file}` says what changed, `orchestrator migrate {self.file}` moves {them}"
        )

    def to_json(self) -> dict[str, object]:
        """The same as plain JSON."""
        return {"flow": self.flow, "file": str(self.file), "runs": self.runs, "versions": list(self.versions)}


def kept_runs(store: Path | None, flows: Iterable[tuple[Path, FlowIR]]) -> list[Kept]:
    """Which runs of a file of runs keep an older version of these flows; nothing if there is no such file."""
    if store is None or not store.exists():
        return []
    from orchestrator.ir.codec import flow_hash
    from orchestrator.journal.peek import open_versions

    known = open_versions(store)
    found = []
    for file, flow in flows:
        here = flow_hash(flow)
        old = [v for v in known if v.flow == flow.name and v.flow_hash != here]
        if old:
            names = tuple(str(v.version) if v.version else v.flow_hash[:8] for v in old)
            found.append(Kept(flow.name, file, sum(v.runs for v in old), names))
    return found
