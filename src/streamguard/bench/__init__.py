"""Measuring code for `streamguard bench`: the broker, the SQL engine, the running stack. Parses no arguments.

Comparisons with other products are in `benchmarks/`, outside the wheel.
"""
