"""Market values on a server: writing, reading and replaying them, and the bars that are made of them."""
