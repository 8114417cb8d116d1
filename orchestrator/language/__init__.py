"""The front half of the flow language: bytes to a checked `FlowSpec`. Knows no runtime, no plugin and no compiler."""
