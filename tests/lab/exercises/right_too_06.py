"""Mutants of notebook 06's solutions that are right answers as well, and why."""

AS_LONG = "both lists have one entry for each worker: they are equally long"
ANY_USER = "whose report it is does not matter"

RIGHT_TOO = {
    "06-1": {
        "if hit and random.random() < watched.share: → "
        "if hit and random.random() <= watched.share:": (
            "that the share itself is drawn happens once in 2**53 times"
        ),
    },
    "06-2": {
        "for old, new in zip(before, after, strict=True): → "
        "for old, new in zip(before, after):": AS_LONG,
        "for old, new in zip(before, after, strict=True): → "
        "for old, new in zip(before, after, strict=False):": AS_LONG,
    },
    "06-3": {
        "if longest > 5: → if longest >= 5:": "a hold of exactly five seconds: no run has one",
        "if longest > 5: → if longest > 6:": "a second more does not matter: who forgets, forgets",
        "if waiting < 1: → if waiting <= 1:": "exactly one caller on average: no run has that",
        "if waiting < 1: → if waiting < 2:": "where the line is drawn is a matter of taste",
        "return 'hold shorter' if now > 2 * ever else 'larger' → "
        "return 'hold shorter' if now >= 2 * ever else 'larger'": "exactly twice: no run has that",
        "return 'hold shorter' if now > 2 * ever else 'larger' → "
        "return 'hold shorter' if now > 3 * ever else 'larger'": (
            "where the line is drawn is a matter of taste; the holds were over seven times as long"
        ),
    },
    "06-4": {
        "await asyncio.sleep(0.005) → await asyncio.sleep(0)": (
            "the report has begun, and the query has not ended"
        ),
        "task = asyncio.create_task(report(pool, 7)) → "
        "task = asyncio.create_task(report(pool, 0))": ANY_USER,
        "task = asyncio.create_task(report(pool, 7)) → "
        "task = asyncio.create_task(report(pool, 8))": ANY_USER,
    },
}
