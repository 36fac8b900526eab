"""The machine: the kernel wires the parts, the drivers let time pass, the record keeps what happened."""
