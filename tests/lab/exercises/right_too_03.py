"""Mutants of notebook 03's solutions that are right answers as well, and why."""

RIGHT_TOO = {
    "03-1": {
        "kind = f'{type(value).__module__}.{type(value).__qualname__}' → "
        "kind = f'{type(value).__module__}.x{type(value).__qualname__}'": (
            "whatever stands between the two names, it is another one for each type"
        ),
    },
    "03-2": {
        "@dataclass(frozen=True) → @dataclass()": (
            "users without a hash can't be visited at all under a weak reference: a bug as well"
        ),
        "@dataclass(frozen=True) → @dataclass(frozen=False)": "the same",
        "ada, namesake = (User('Ada', 'Paris'), User('Ada', 'Rome')) → "
        "ada, namesake = (User('Ada', 'Parisx'), User('Ada', 'Rome'))": (
            "where the first one lives does not matter"
        ),
    },
}
