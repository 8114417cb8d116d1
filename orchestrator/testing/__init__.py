"""Tools for testing flows and plugins: virtual time, recorded models, loopback servers."""

from __future__ import annotations

__all__: list[str] = []
