"""The command line. `main` is the entry point; every command is a module that is loaded when it is used."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from orchestrator.cli.app import run

    run()
