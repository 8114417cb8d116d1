"""`<namespace>.plugin.json`: what a plugin offers, readable without importing it. Written at build time, read at check time.

Run `python -m orchestrator.plugin.manifest MODULE…` to write the manifests of modules beside their source.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import PluginError
from orchestrator.ir.model import Origin
from orchestrator.plugin.define import Plugin
from orchestrator.plugin.info import CallableInfo, Target, info_from_json

SUFFIX = ".plugin.json"
VERSION = 1


def manifest_path(source: Path, namespace: str) -> Path:
    """Where the manifest of a module's source file stands."""
    return source.parent / f"{namespace}{SUFFIX}"


def read_manifest(
    path: Path, *, provider: str, loader_of: Callable[[str], Callable[[], Target]]
) -> tuple[CallableInfo, ...]:
    """The callables of a manifest. Raises: PluginError when it is missing or of another shape."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["v"] != VERSION:
            raise PluginError(f"{path} has version {document['v']}, this program reads {VERSION}", plugin=provider)
        return tuple(
            info_from_json(
                entry,
                provider=provider,
                origin=Origin(str(path.with_name(entry["file"])), entry["line"]) if "file" in entry else None,
                loader=loader_of(entry["name"]),
            )
            for entry in document["callables"]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise PluginError(
            f"the manifest {path} cannot be read: {type(problem).__name__}: {problem}", plugin=provider
        ) from None


def manifest_of(plugin: Plugin) -> dict[str, Any]:
    """The manifest of a live plugin, as JSON. Raises: PluginError."""
    from orchestrator.plugin.signature import describe

    callables = []
    for step in plugin.steps.values():
        info = describe(step, provider=plugin.name)
        entry = info.to_json()
        if info.origin is not None:
            entry |= {"file": Path(info.origin.file).name, "line": info.origin.line}
        callables.append(entry)
    return {"v": VERSION, "plugin": plugin.name, "doc": plugin.doc, "callables": callables}


def manifest_text(plugin: Plugin) -> str:
    """A manifest as its file holds it: one callable a line, so that a change of one is a change of one line."""
    document = manifest_of(plugin)
    callables = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in document.pop("callables"))
    return json.dumps(document, ensure_ascii=False)[:-1] + f', "callables": [\n{callables}\n]}}\n'


def plugins_in(module: str) -> tuple[tuple[Plugin, Path], ...]:
    """The plugins that a module defines, with its source file; imports it."""
    import importlib

    loaded = importlib.import_module(module)
    source = Path(loaded.__file__ or ".")
    return tuple((value, source) for value in vars(loaded).values() if isinstance(value, Plugin))


def write_manifests(modules: Sequence[str]) -> list[Path]:
    """Write the manifests of modules beside their source files; returns what was written."""
    written = []
    for module in modules:
        for plugin, source in plugins_in(module):
            path = manifest_path(source, plugin.name)
            path.write_text(manifest_text(plugin), encoding="utf-8")
            written.append(path)
    return written


if __name__ == "__main__":
    for done in write_manifests(sys.argv[1:]):
        print(done)
