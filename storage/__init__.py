"""One shard on a disk, and the catalog of collections. Knows no Ray and no HTTP."""
