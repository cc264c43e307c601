"""Mutants of notebook 05's solutions that are right answers as well, and why."""

RIGHT_TOO = {
    "05-3": {
        "return await near.get_or_load(key, ask, stale_while_revalidate=60) → "
        "return await near.get_or_load(key, ask, stale_while_revalidate=61)": (
            "a second longer than a minute does not matter"
        ),
    },
    "05-4": {
        "await shop.sign_up(4, 'Rome') → await shop.sign_up(4, 'Romex')": (
            "where the new user lives does not matter"
        ),
    },
}
