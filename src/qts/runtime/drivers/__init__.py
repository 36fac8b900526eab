"""Drivers: what advances the clock and gives market values to the kernel, on which loop, under which watchdog."""
