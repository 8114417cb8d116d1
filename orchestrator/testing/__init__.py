"""Tools for testing flows and plugins: virtual time, recorded models, loopback servers."""
