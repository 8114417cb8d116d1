"""Resolves `imports:` and schema files inside a project folder; the only part of the compiler that reads files.

Flow files are compiled, each once. Python objects are read from their syntax tree and never imported: a pydantic model
gives its schema, a workflow is known by name only. A flow that is being compiled already is a circle.
"""

from __future__ import annotations

import fnmatch
import json
from dataclasses import replace
from pathlib import Path

from orchestrator.compiler.compile import Compiled, compile_text
from orchestrator.compiler.project import (
    CallableCatalog,
    Imported,
    ImportedFlow,
    ImportedModel,
    ImportProblem,
    ProjectContext,
)
from orchestrator.errors import PluginError
from orchestrator.ir.codec import flow_hash
from orchestrator.ir.model import Json
from orchestrator.ir.schemas import inline_refs

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 16


class ProjectFlows:
    """The flows of one project folder. Keeps what it has compiled, so use a new one after files have changed.

    Example:
        flows = ProjectFlows(Path("."), catalog)
        compiled = flows.compile(Path("flows/publish.flow.yaml"))
    """

    def __init__(self, root: Path, catalog: CallableCatalog, project: ProjectContext | None = None) -> None:
        self.root = root.resolve()
        self.catalog = catalog
        context = ProjectContext() if project is None else project
        self.project = context if context.read_schema is not None else replace(context, read_schema=self.read_schema)
        self._compiled: dict[Path, Compiled] = {}
        self._busy: list[Path] = []

    def compile(self, file: Path) -> Compiled:
        """A flow file of the project. Raises: OSError if it cannot be read."""
        path = file.resolve()
        if path not in self._compiled:
            self._compiled[path] = self.compile_bytes(path.read_bytes(), file)
        return self._compiled[path]

    def compile_bytes(self, data: bytes, file: Path) -> Compiled:
        """The text of a flow as if it stood in `file`, for editors with unsaved changes."""
        path = file.resolve()
        self._busy.append(path)
        try:
            return compile_text(
                data, str(file), catalog=self.catalog, project=self.project, resolve_import=self.resolve
            )
        finally:
            self._busy.pop()

    def resolve(self, kind: str, target: str, importer: str) -> Imported:
        """What an import of a flow gives."""
        if kind == "flow":
            return self._flow(target, Path(importer))
        return self._python(target)

    def read_schema(self, path: str) -> Json:
        """A JSON Schema file, by its path from the project folder. Raises: ValueError with the reason."""
        file = self._inside(self.root / path)
        if file is None:
            raise ValueError("it lies outside the project")
        try:
            data = file.read_bytes()
        except OSError as problem:
            raise ValueError(problem.strerror or "it cannot be read") from None
        if len(data) > MAX_FILE_BYTES:
            raise ValueError("it is larger than 1 MB")
        try:
            schema = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError):
            raise ValueError("it is not JSON") from None
        if not isinstance(schema, dict):
            raise ValueError("it is no JSON Schema object")
        return inline_refs(schema)

    def _inside(self, path: Path) -> Path | None:
        resolved = path.resolve()
        return resolved if resolved.is_relative_to(self.root) else None

    def _flow(self, target: str, importer: Path) -> Imported:
        file = self._inside(importer.resolve().parent / target)
        if file is None:
            return ImportProblem(f"`{target}` lies outside the project", "import only flows below the project folder")
        if file in self._busy:
            circle = [*self._busy[self._busy.index(file) :], file]
            shown = " → ".join(f"`{path.name}`" for path in circle)
            return ImportProblem(f"flows import each other in a circle: {shown}", "let one of them not call the other", "FLW512")
        if len(self._busy) >= MAX_DEPTH:
            return ImportProblem(f"`{target}` is imported {MAX_DEPTH} flows deep", "flatten the chain of sub-flows")
        shown_path = Path(importer).parent / target
        try:
            known = self._compiled.get(file)
            compiled = known if known is not None else self.compile_bytes(file.read_bytes(), shown_path)
        except OSError as problem:
            return ImportProblem(f"`{target}` cannot be read: {problem.strerror or problem}", self._near(file))
        self._compiled[file] = compiled
        if compiled.flow is None or not compiled.is_ok:
            errors = [d for d in compiled.diagnostics if d.severity.value == "error"]
            if any(d.code == "FLW512" for d in errors):
                return ImportProblem(f"`{target}` is part of a circle of imports", f"see {errors[0].span}", "FLW512")
            return ImportProblem(f"`{target}` has {len(errors)} error{'s' * (len(errors) != 1)}", f"the first one: {errors[0]}")
        flow = compiled.flow
        return ImportedFlow(flow.name, flow.inputs, flow.outputs, f"flow:{flow.name}@{flow_hash(flow)}", compiled)

    def _near(self, file: Path) -> str | None:
        from orchestrator.expr.suggest import nearest

        try:
            names = [path.name for path in file.parent.iterdir() if path.name.endswith((".yaml", ".yml"))]
        except OSError:
            return None
        guess = nearest(file.name, names)
        return f"did you mean `./{guess}`?" if guess else None

    def _python(self, target: str) -> Imported:
        module, _, name = target.partition(":")
        if not any(fnmatch.fnmatchcase(module, pattern) for pattern in self.project.config.python_allow):
            return ImportProblem(
                f"the module `{module}` is not allowed by the project",
                f'add it to orchestrator.toml: `[python] allow = ["{module}"]`',
            )
        file = self._module_file(module)
        if file is None:
            return ImportProblem(f"there is no module `{module}` in the project", "write the path from the project folder")
        return _read_python(file, target, name)

    def _module_file(self, module: str) -> Path | None:
        base = self.root.joinpath(*module.split("."))
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file() and self._inside(file) is not None:
                return file
        return None


def _read_python(file: Path, target: str, name: str) -> Imported:
    """A model with its schema, or a workflow, from the syntax tree of a module."""
    import ast

    import pydantic

    from orchestrator.plugin.annotations import TypeReader
    from orchestrator.plugin.syntax import parse_module

    try:
        module = parse_module(file)
    except PluginError as problem:
        return ImportProblem(problem.message)
    functions = [n.name for n in module.tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    if name not in module.classes and name not in functions and name not in module.values:
        from orchestrator.expr.suggest import nearest

        guess = nearest(name, [*module.classes, *functions])
        return ImportProblem(f"`{file.name}` defines no `{name}`", f"did you mean `{guess}`?" if guess else None)
    if name in module.classes:
        reader = TypeReader(module)
        form = reader.read(ast.Name(name, lineno=1, col_offset=0))
        if isinstance(form, type) and issubclass(form, pydantic.BaseModel):
            schema = pydantic.TypeAdapter(form).json_schema()
            return ImportedModel(inline_refs(schema), f"python:{target}")
    return ImportedFlow(name, {"type": "object"}, {}, f"python:{target}")
