"""Durable workflows as YAML graphs of named events and steps, and as Python, on one runtime."""
