"""Answers that are graded by a machine: what could have a check say anything is not run."""

import ast
from typing import Any

import pytest

from cachepool_lib.lab.classroom.cells import exercises, solution, tagged
from cachepool_lib.lab.classroom.plain import not_plain
from tests.tools.notebook_tools import NOTEBOOKS, definitions, read

[FIRST] = [path for path in NOTEBOOKS if path.name.startswith("01")]
NAMES = definitions(read(FIRST))
OURS = solution(read(FIRST), "01-2")


def found(answer: str, ours: str = OURS) -> list[str]:
    return not_plain(ast.parse(answer), ast.parse(ours), NAMES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_our_solutions_are_plain(path: Any) -> None:
    """Each of every notebook, and each stub."""
    notebook = read(path)
    names = definitions(notebook)
    for name in exercises(notebook):
        code, stub = solution(notebook, name), notebook.cells[tagged(notebook, f"exercise-{name}")]
        ours = ast.parse(f"{stub.source}\n{code}")
        assert not not_plain(ast.parse(code), ours, names), name
        assert not not_plain(ast.parse(stub.source), ours, names), name


@pytest.mark.parametrize(
    "answer",
    [
        "import asyncio as aio\ndef f(x):\n    return aio.create_task(x())",
        "from collections import deque, OrderedDict\nimport collections.abc\nx = deque()",
        "import json, math, re, time\ndef f(x):\n    return json.dumps(math.inf), time.monotonic()",
        "from cachepool_lib import AsyncCache, lab",
        "def f(x):\n    return getattr(x, 'number', None), type(x).__name__, x.__class__",
        "def _helper(_key):\n    return _key",
        "class Line:\n    __slots__ = ('n',)\n    def __init__(self):\n        self.n = 1",
        "from dataclasses import dataclass\n@dataclass\nclass User:\n    name: str",
        "import inspect\ndef f(x):\n    return inspect.signature(x)",
        "import logging\ndef f(x):\n    logging.getLogger(__name__).warning('open the stack')",
        "def f(x):\n    'We open it, and getattr is not used.'\n    x['__init__'] = 1",
        "def f(x):\n    try:\n        return x()\n    except asyncpg.PostgresError:\n        pass",
    ],
)
def test_honest_answers_are_plain(answer: str) -> None:
    """Helpers, classes, imports of the standard library, private names of one's own."""
    assert not found(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "import os\nos._exit(0)",
        "import sys\nx = sys.modules",
        "from cachepool_lib.lab.exercises import single_flight",
        "from cachepool_lib.lab.exercises.single_flight import join as join_mine",
        "import sys as asyncio",
        "import inspect as x\ny = x.stack\nimport json as x",
        "from asyncio import base_events as x\nimport json as x",
        "from types import FrameType",
        "from asyncio import *",
        "from . import checks",
        "import asyncio as a\nx = a.sys.modules",
        "x = asyncio.base_events.sys",
        "x = [asyncio][0].sys",
        "x = (a := asyncio)",
        "class A:\n    x: 'eval(1)'",
        "x = partial(setattr, asyncio, 'sleep')",
        "for asyncio.sleep in [1]:\n    pass",
        "x = AsyncCache.get.__globals__",
        "def f(x, a=asyncio):\n    return a.sys",
        "from asyncio import base_events\nx = base_events.os",
        "x = lab.import_module('os')",
        "lab.exercise = None",
        "asyncio.sleep = None",
        "def f(flights):\n    flights.loads = 1",
        "def f(load):\n    return load.__self__",
        "def f(load):\n    match load:\n        case object(__self__=x):\n            return x",
        "def f(load):\n    return load.__func__.__globals__",
        "x = ().__class__.__base__.__subclasses__()",
        "x = __builtins__['open']",
        "x = open('grades.csv', 'w')",
        "x = eval('1')",
        "g = getattr\nx = g(asyncio, 'sys')",
        "def f(x):\n    return getattr(x, 'cr_' + 'frame')",
        "x = getattr(asyncio, 'sys')",
        "x = getattr(asyncio.current_task(), '_coro')",
        "from operator import attrgetter\nx = attrgetter('f_back')",
        "from inspect import currentframe\nx = currentframe()",
        "import inspect\nx = inspect.stack()",
        "x = asyncio.current_task().get_coro().cr_frame",
        "def f(error):\n    return error.tb_frame",
        "async def f():\n    asyncio.get_running_loop().set_exception_handler(None)",
        "async def f():\n    await asyncio.create_subprocess_shell('true')",
        "class Same(str):\n    def __eq__(self, other):\n        return True",
        "x = type('Same', (str,), {'__eq__': lambda a, b: True})",
        "class Same:\n    __class__ = str",
        "def f(self):\n    self.loads = 1\nclass C:\n    def g(self):\n        self.x = 1",
    ],
)
def test_what_reaches_for_the_check_is_not_plain(answer: str) -> None:
    """Modules, frames, patches, strings with code, objects that equal everything."""
    assert found(answer)


def test_the_line_and_the_word_are_named() -> None:
    """So that whoever reads the answer begins there."""
    assert found("def f(x):\n    return x\n\n\nimport sys") == ["line 5: sys"]


def test_what_our_solution_uses_is_plain_in_that_exercise() -> None:
    """Attributes of what an exercise hands out, above all."""
    answer = "async def f(state, connect):\n    state.opening = 1"
    assert found(answer)
    assert not found(answer, "async def f(state, connect):\n    state.pool = await connect()")
    assert found(
        "def f(state):\n    asyncio.Lock.acquire = state", "def f(state):\n    state.x = 1"
    )
