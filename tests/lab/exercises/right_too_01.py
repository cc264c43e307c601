"""Mutants of notebook 01's solutions that are right answers too, and why."""

RIGHT_TOO = {
    "01-1": {
        "for key in ('a', 'b', 'c', 'c'): → for key in ('a', 'bx', 'c', 'c'):": (
            "any second key fills the room as well"
        ),
    },
}
