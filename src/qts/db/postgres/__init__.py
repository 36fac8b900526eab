"""The schema of a server: its migrations, what has drifted from them, and the roles that may use it."""
