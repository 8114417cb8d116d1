"""Imports that a plugin's file cannot have are a finding at each call, seen without importing or running any of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestrator.compiler.compile import Compiled, compile_text
from orchestrator.plugin.catalog import Catalog
from orchestrator.plugin.config import ProjectConfig
from orchestrator.plugin.lacking import lack_of_module

STEP = '''
from orchestrator.plugin import Plugin

shop = Plugin("shop")


@shop.step(effect="none")
def price(cents: int) -> str:
    """In words."""
    return str(cents)
'''
FLOW = b"""
flow: sell
steps:
  one:
    on: Start
    call: shop.price
    with: {cents: 1}
  two:
    on: one
    call: shop.price
    with: {cents: 2}
    emit: Stop
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def catalog_of(root: Path, top: str, **files: str) -> Catalog:
    """A project whose only plugin file begins with `top`; `models="…"` makes plugins/models.py beside it."""
    write(root / "plugins", {"shop.py": top + STEP} | {f"{name}.py": text for name, text in files.items()})
    return Catalog(ProjectConfig(root=root, plugins_folder="plugins"))


def compiled(catalog: Catalog) -> Compiled:
    return compile_text(FLOW, "sell.flow.yaml", catalog=catalog)


def test_a_missing_library_is_a_finding_at_each_call_with_the_place_of_the_import(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, '"""Sells."""\n\nimport no_such_library\n')
    found = compiled(catalog).diagnostics
    assert [(d.code, d.span.line) for d in found] == [("PLG006", 6), ("PLG006", 10)]
    assert "imports `no_such_library`, which is not installed here" in found[0].message
    assert found[0].help is not None and "`pip install no_such_library`" in found[0].help
    assert str(found[0].related[0].span) == f"{tmp_path}/plugins/shop.py:3:1"


def test_what_is_lacking_hides_neither_help_nor_fields(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, "import no_such_library\n")
    wrong = compile_text(FLOW.replace(b"cents: 2", b"cent: 2"), "x", catalog=catalog)
    assert {d.code for d in wrong.diagnostics} >= {"PLG006", "FLW505"}
    assert catalog.get("shop.price") is not None
    assert catalog.problem("shop.prize") is None


SOUND = {
    "a guarded import": "try:\n    import nope\nexcept ImportError:\n    nope = None\n",
    "a guard of several": "try:\n    import nope\nexcept (ValueError, ModuleNotFoundError):\n    pass\n",
    "a bare guard": "try:\n    import nope\nexcept:\n    pass\n",
    "an alternative": "try:\n    import nope\nexcept ImportError:\n    import json as nope\n",
    "an import in a function": "def f():\n    import nope\n",
    "an import for types": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nope\n",
    "the other Python": "import sys\nif sys.version_info < (3, 11):\n    import nope\nelse:\n    import tomllib\n",
    "the other system": "import sys\nif sys.platform == 'plan9':\n    import nope\n",
    "an unknown test": "import os\nif os.environ.get('GPU'):\n    import nope\n",
    "a program": "if __name__ == '__main__':\n    import nope\n",
    "a path of its own": "import sys\nsys.path.insert(0, __file__ + '.d')\nimport aside\n",
    "a suppressed import": "import contextlib\nwith contextlib.suppress(ImportError):\n    import nope\n",
    "what is there": "import json, xml.dom\nfrom concurrent import futures\nimport pydantic, yaml\n",
    "our own names": "from orchestrator.plugin import Context, Secret, services\n",
    "a sibling": "from . import models\nfrom .models import Deal, later\n",
    "a circle": "from . import circle\n",
}


@pytest.mark.parametrize("top", SOUND.values(), ids=SOUND)
def test_a_file_that_can_be_imported_has_no_finding(tmp_path: Path, top: str) -> None:
    models = "class Deal: ...\nif Deal:\n    later = 1\n"
    write(tmp_path / "plugins" / "shop.py.d", {"aside.py": ""})
    catalog = catalog_of(tmp_path, top, models=models, circle="from . import shop\n")
    assert catalog.problems() == ()
    info = catalog.get("shop.price")
    assert info is not None and info.load()(3) == "3"  # and it really can be


BROKEN = {
    "a library": ("import nope.inner as x\n", "imports `nope`, which is not installed here"),
    "from a library": ("from nope import x\n", "imports `nope`, which is not installed here"),
    "after another": ("import json, nope\n", "imports `nope`, which is not installed here"),
    "a guard of something else": ("try:\n    import nope\nexcept ValueError:\n    pass\n", "imports `nope`"),
    "a guard that raises": ("try:\n    import nope\nexcept ImportError as e:\n    raise RuntimeError from e\n", "`nope`"),
    "both ways": ("try:\n    import nope\nexcept ImportError:\n    import nada\n", "imports `nada`"),
    "after a guard": ("try:\n    import json\nexcept ImportError:\n    pass\nelse:\n    import nope\n", "imports `nope`"),
    "in a branch that is taken": ("import sys\nif sys.version_info >= (3, 11):\n    import nope\n", "imports `nope`"),
    "in a class": ("class A:\n    import nope\n", "imports `nope`"),
    "a missing sibling": ("from . import nope\n", "imports `nope`, and there is no `nope` in"),
    "of a missing sibling": ("from .nope import x\n", "imports `nope`, and there is no `nope` in"),
    "a missing name": ("from .models import Dael\n", "imports `Dael` from"),
    "above the folder": ("from ..x import y\n", "above the plugin's own folder"),
    "a sibling by its bare name": ("import models\n", "a file of the plugin folder and not on the import path"),
    "through a sibling": ("from . import through\n", "plugins/through.py imports `nope`"),
    "through a broken sibling": ("from . import broken\n", "broken.py:1: "),
    "a name that we do not have": ("from orchestrator.plugin import Contxt\n", "imports `Contxt` from orchestrator.plugin"),
}  # fmt: skip


@pytest.mark.parametrize(("top", "said"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_imported_is_a_finding(tmp_path: Path, top: str, said: str) -> None:
    catalog = catalog_of(tmp_path, top, models="class Deal: ...\n", through="import nope\n", broken="def (\n")
    problem = catalog.problem("shop.price")
    assert problem is not None and said in problem.message
    assert problem.code == "PLG006" and problem.help
    info = catalog.get("shop.price")
    with pytest.raises(Exception, match="cannot be imported"):  # and it really cannot be
        info.load()  # type: ignore[union-attr]


def test_looking_for_libraries_runs_nothing_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "site" / "loud", {"__init__.py": f"open({str(tmp_path / 'ran')!r}, 'w')\n"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert catalog_of(tmp_path, "import loud.inner\n").problems() == ()
    assert not (tmp_path / "ran").exists()
    assert "loud" not in sys.modules


def test_a_library_that_is_installed_later_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    catalog = catalog_of(tmp_path, "import late_library\n")
    assert catalog.problem("shop.price") is not None
    write(tmp_path / "site", {"late_library.py": ""})
    import importlib

    importlib.invalidate_caches()
    assert catalog.problem("shop.price") is None


def test_a_step_that_runs_in_another_pool_needs_nothing_here(tmp_path: Path) -> None:
    flow = FLOW.replace(b"on: Start\n", b"on: Start\n    placement: gpu\n").replace(
        b"on: one\n", b"on: one\n    placement: gpu\n"
    )
    catalog = catalog_of(tmp_path, "import no_such_library\n")
    assert "PLG006" not in {d.code for d in compile_text(flow, "x", catalog=catalog).diagnostics}


PACKAGE = {
    "acme_shop/__init__.py": "from acme_shop.steps import shop\n",
    "acme_shop/steps.py": "from .deep import tool" + STEP,
    "acme_shop/deep/__init__.py": "",
    "acme_shop/deep/tool.py": "import no_such_library\n",
}


def test_an_installed_package_is_followed_through_its_own_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    lack = lack_of_module("acme_shop", "acme-shop")
    assert lack is not None
    assert str(lack.origin) == f"{tmp_path}/acme_shop/deep/tool.py:1"
    assert "acme-shop should name it under its dependencies" in lack.help
    assert "acme_shop" not in sys.modules


def test_a_package_that_has_all_it_imports_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, PACKAGE | {"acme_shop/deep/tool.py": "import json\nfrom acme_shop import steps\n"})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert lack_of_module("acme_shop", "acme-shop") is None
    assert lack_of_module("acme_shop.steps", "acme-shop") is None
    single = {"acme_single.py": "import json\n"}
    write(tmp_path, single)
    assert lack_of_module("acme_single", "acme-single") is None
