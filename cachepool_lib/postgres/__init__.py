"""DatabasePool: connections to PostgreSQL that are opened once and borrowed many times."""

try:
    import asyncpg as asyncpg
except ImportError as error:
    raise ImportError("DatabasePool needs asyncpg: install cachepool-lib[postgres]") from error
