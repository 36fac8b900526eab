"""Who moves the clock and gives values to the kernel, on which loop, watched by whom."""
