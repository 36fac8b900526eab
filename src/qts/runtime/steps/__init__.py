"""The order in which a session took what came from outside: recorded while it runs, and repeated afterwards."""
