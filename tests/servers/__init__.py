"""Real servers for the tests: PostgreSQL, TimescaleDB in WebAssembly, Valkey; and a proxy on the way to them."""
