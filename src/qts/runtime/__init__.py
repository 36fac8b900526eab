"""A running session: the kernel, made by wiring of components that each have a folder, and its drivers."""
