"""Where runs are kept: one protocol (`orchestrator.runtime.journal`, `store`), kept in memory or in a SQLite file."""
