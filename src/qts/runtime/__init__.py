"""The session at work: the kernel, made by wiring of components that each have a room, and what drives it."""
