"""Where strategies run: the host on the loop, the process of its own, what each sees and says."""
