"""What the tests of exercises share: the folded solution, the check, and its message."""

import asyncio
from collections.abc import Mapping
from typing import Any

from cachepool_lib import lab
from cachepool_lib.lab.notebook.checks import Result
from tests.tools.notebook_tools import ROOT, definitions, read
from tests.tools.notebook_tools.hearts import solution


class Exercises:
    """The exercises of one notebook; *answers* says what each asks for, by its name."""

    def __init__(self, notebook: str, answers: Mapping[str, str]) -> None:
        self.source = read(ROOT / "notebooks" / notebook)
        self.notebook = definitions(self.source)
        self.answers = answers

    def solution(self, name: str) -> Any:
        """The answer that the notebook folds away."""
        names = dict(self.notebook)
        exec(solution(self.source, name), names)
        return names[self.answers[name]]

    def stub(self, name: str) -> Any:
        """What the notebook has in its place."""
        return self.notebook[self.answers[name]]


def look_at(name: str, answer: Any) -> Result:
    """What the notebook's check says, and that it leaves nothing for the last cell to find."""

    async def cells() -> Result:
        result = await lab.exercise(name, answer)
        await lab.nothing_left()
        return result

    return asyncio.run(cells())


def message(name: str, answer: Any) -> str:
    """What a wrong answer is told."""
    result = look_at(name, answer)
    assert result.status == "failed"
    assert result.expected
    return f"{result.got} {result.hint}"
