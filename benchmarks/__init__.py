"""Benchmarks: one claim a script, contestants interleaved; ``python -m benchmarks`` runs them."""
