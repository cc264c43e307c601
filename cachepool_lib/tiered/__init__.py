"""TieredCache: a cache in memory in front of one in Redis."""
