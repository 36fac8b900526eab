"""Recording the market values of a session on a server, in a process of its own."""
