"""Benchmarks: ratios measured in one run, so that a busy machine does not change the verdict."""
