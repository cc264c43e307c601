"""Caching and connection pooling for asynchronous Python."""
