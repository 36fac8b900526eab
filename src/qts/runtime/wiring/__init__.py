"""Makes and connects the components; with the kernel the only place that names implementations of ports."""
