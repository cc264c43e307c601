"""AsyncCache: a cache in the memory of one process."""
