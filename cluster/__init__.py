"""Who runs where: the engine over shards, on this process or on Ray. Knows no HTTP."""
