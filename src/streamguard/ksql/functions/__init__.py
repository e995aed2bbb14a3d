"""SQL functions: one module per family, each registering what it defines (see `registry`)."""
