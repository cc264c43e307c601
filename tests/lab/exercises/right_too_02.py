"""Mutants of notebook 02's solutions that are right answers too, each with the reason."""

RIGHT_TOO = {
    "02-2": {
        "line.away_until = now + limit + 0.5 → line.away_until = now + limit + 0": (
            "who tries is back when its limit is over, and sets the next moment itself"
        ),
    },
}
