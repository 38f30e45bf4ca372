"""Benchmarks, each beside a peer: `python -m benchmarks`."""
