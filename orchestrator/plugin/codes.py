"""What the findings about plugins and the project's config mean, with an example of each. Knows no flow.

`orchestrator explain CODE` and `docs/checks.md` are made of this table, and a test tries every example. `form` is the
language of the examples: `toml` is the config, `python` a file of the plugin folder.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeDoc:
    """One code: what it means, an example that has it and one that has not."""

    title: str
    explanation: str
    bad: str
    good: str
    form: str = "toml"


_STEP = '''from orchestrator.plugin import Plugin

site = Plugin("{namespace}")


@site.step
def {signature}:
    """{help}."""
    return {result}
'''
GOOD_STEP = _STEP.format(
    namespace="site", signature="address(title: str) -> str", help="The address of a post", result="title.lower()"
)

CODES: dict[str, CodeDoc] = {
    "CFG001": CodeDoc(
        "a config that is not TOML",
        "`orchestrator.toml` cannot be read, or breaks a rule of TOML at this place, so all of it is ignored. Text stands in "
        "quotes, lists in `[ ]`, and a section begins with `[name]`.",
        "[plugins]\nfolder = plugins\n",
        '[plugins]\nfolder = "plugins"\n',
    ),
    "CFG002": CodeDoc(
        "an unknown section or key of the config",
        "The config has no such section or key, or there is no such environment variable beginning with `ORCHESTRATOR_`. "
        "`orchestrator explain config` lists them all.",
        '[plugin]\nfolder = "plugins"\n',
        '[plugins]\nfolder = "plugins"\n',
    ),
    "CFG003": CodeDoc(
        "a value of the config of the wrong kind",
        "The key takes something else; the message says what. The key keeps its default until that is mended.",
        "[http]\nallow_hosts = 3\n",
        '[http]\nallow_hosts = ["cms.example"]\n',
    ),
    "PLG001": CodeDoc(
        "a plugin that is named is not there",
        "The config names a plugin folder, a package or an MCP server that is not there: it was moved, was not installed in "
        "this environment, or its tools were not pinned (`orchestrator mcp pull`).",
        '[plugins]\nfolder = "no-such-folder"\n',
        '[plugins]\nfolder = "plugins"\n',
    ),
    "PLG002": CodeDoc(
        "a plugin that cannot be read",
        "A file of the plugin folder is not Python, or a package's manifest is broken. Nothing of it can be called; all other "
        "plugins can. `orchestrator plugin check --fix` writes a manifest anew.",
        GOOD_STEP.replace("-> str:", "-> str"),
        GOOD_STEP,
        "python",
    ),
    "PLG003": CodeDoc(
        "a callable whose signature cannot be used",
        "A step's parameters are the fields of `with:`, so each needs a type, and what the decorator says of it must stand there "
        "as literals: the file is read and not run.",
        _STEP.format(namespace="site", signature="address(*titles: str) -> str", help="An address", result="titles[0]"),
        GOOD_STEP,
        "python",
    ),
    "PLG004": CodeDoc(
        "an installed plugin that the project does not allow",
        "Plugins run as code, so an installed package can be called only when `[plugins] allow` names it: by name, with a "
        "version, or with the hash of its files. `orchestrator plugin list --pins` prints the lines.",
        "[plugins]\nallow = []\n",
        '[plugins]\nallow = ["acme-crm==1.2.0"]\n',
    ),
    "PLG005": CodeDoc(
        "two plugins define the same callable",
        "A name must mean one thing: two files or packages define it, or it is in the namespace of a bundled plugin. Give one "
        "of them a namespace of its own.",
        _STEP.format(namespace="text", signature="slug(title: str) -> str", help="A slug", result="title"),
        GOOD_STEP,
        "python",
    ),
    "PLG006": CodeDoc(
        "a plugin whose imports are not there",
        "The plugin's file imports a library that is not installed in this environment, or a module or name of its own that does "
        "not exist, so each call of it would fail. Nothing is imported to see that: the file is read, and only imports that are "
        "certain to run with it count, so one in a function, or in a `try` that catches its failure, is left alone. Other things "
        "that go wrong while a file is imported are seen by `doctor`, which tries it.",
        "import no_such_library\n\n" + GOOD_STEP,
        "try:\n    import no_such_library\nexcept ImportError:\n    no_such_library = None\n" + GOOD_STEP,
        "python",
    ),
}
