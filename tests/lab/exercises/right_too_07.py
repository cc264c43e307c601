"""Mutants of notebook 07's solutions that are right answers as well, and why."""

PAIRS = (
    "pairs = sorted(((point(f'{node} {number}'), node) for node in nodes "
    "for number in range(100))) → "
)

RIGHT_TOO: dict[str, dict[str, str]] = {
    "07-1": {
        f"{PAIRS}pairs = sorted(((point(f'{{node}} x{{number}}'), node) for node in nodes "
        "for number in range(100)))": "the points lie elsewhere, and as well",
        f"{PAIRS}pairs = sorted(((point(f'{{node}} {{number}}'), node) for node in nodes "
        "for number in range(101)))": "a point more a node does not matter",
    },
    "07-3": {
        "return at_once * int(patience / seconds - 1 + 1e-09) → "
        "return at_once * int(patience / seconds - 1 + 0)": "the rule is the same; a float that is "
        "a little less than a whole number costs a round, and that is safe",
    },
}
