"""Real servers for the tests: PostgreSQL, TimescaleDB in WebAssembly, and a proxy that disturbs the way to them."""
