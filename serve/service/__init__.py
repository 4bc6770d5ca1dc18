"""All policy, once for every API family: rights, limits, the order of catalog and engine. Knows no HTTP."""
