"""The places where strategies run: the host on the loop, a process of its own; and what each sees and answers."""
