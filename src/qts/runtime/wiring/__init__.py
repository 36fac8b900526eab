"""Which implementation of a port stands where; with the kernel the only place that names them."""
