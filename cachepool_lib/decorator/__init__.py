"""async_cache: cache what an async function returns, by its arguments."""
