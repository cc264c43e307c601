"""Mutants of notebook 04's solutions that are right answers as well, and why."""

_ANY = "what is asked of the server plays no part in who has the slot"
RIGHT_TOO = {
    "04-4": {
        "async with asyncio.timeout(0.05): → async with asyncio.timeout(0):": (
            "it leaves at its first await, the opening: it has its slot by then"
        ),
        "await pool.fetch('SELECT 1') → await pool.fetch('SELECT 1x')": _ANY,
        "await pool.fetch('SELECT 1') → await pool.fetch('SELECT 1x') (2)": _ANY,
    },
}
