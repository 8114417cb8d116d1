"""The plugins that ship with orchestrator; each is found by the same entry point as anyone's."""
