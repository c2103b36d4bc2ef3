"""Measurements of cio_fdw against the simulator: `make bench`."""
