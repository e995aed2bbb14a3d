"""From a query's syntax tree to its plan: names are resolved, refusals made, nodes built."""
