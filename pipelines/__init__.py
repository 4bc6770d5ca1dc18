"""Documents to searchable chunks, as Ray Data pipelines. Knows no HTTP."""
