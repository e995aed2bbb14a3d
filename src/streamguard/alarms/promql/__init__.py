"""The part of PromQL that alarms use, over samples kept in memory.

`parser` turns an expression into the tree of `tree`; `evaluate` gives its value at an instant; `functions` has the functions,
each by its name. What is beyond that part is an error when the rules are read, never another value in silence.

Semantics: https://prometheus.io/docs/prometheus/latest/querying/basics/. The cases of tests/ops are run by promtool and here.
"""
