"""RedisCache: a cache in Redis, shared by all processes that can reach it."""
