"""Real things that tests run against: hostile servers on loopback, a caller of callables."""
