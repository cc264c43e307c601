"""Mutants: a source text changed in one small way each, as somebody might get it wrong.

What a mutant changes: an operator, a border, a condition, a constant, a text (messages excepted),
the class of an exception, the order of two arguments, an option that is left out, an `await` that
is forgotten, a statement, a `with` or `finally` that is not there.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OPERATORS: dict[type[ast.AST], Sequence[type[ast.AST]]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.Mult,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
LOG = {"debug", "info", "warning", "error", "exception", "critical", "log"}
MOST_TURNS = 10_000  # of one loop of a mutant: then it is endless


@dataclass(frozen=True)
class Mutant:
    """A changed source, and the lines that differ: "`return 1` → `return 2`"."""

    change: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Every mutant of the *source* that is valid Python, each once."""
    tree = ast.parse(source)
    before = ast.unparse(tree)
    found: dict[str, Mutant] = {}
    seen = {before}
    for _ in _changes(tree):
        after = ast.unparse(ast.fix_missing_locations(tree))
        if after in seen:
            continue
        seen.add(after)
        try:
            compile(after, "<mutant>", "exec")
        except SyntaxError:
            continue
        change, number = _difference(before, after), 1
        while (name := change if number == 1 else f"{change} ({number})") in found:
            number += 1  # the same line stands there twice
        found[name] = Mutant(name, after)
    return list(found.values())


def _difference(before: str, after: str) -> str:
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    gone = "; ".join(line[2:].strip() for line in lines if line[0] == "-")
    come = "; ".join(line[2:].strip() for line in lines if line[0] == "+")
    return f"{gone} → {come or 'nothing'}"


def _changes(node: ast.AST, message: bool = False) -> Iterator[None]:
    """Change the tree under *node* in one way after the other; each is undone before the next."""
    message = message or isinstance(node, ast.Raise) or _logs(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            for other in _others(value, message):
                setattr(node, name, other)
                yield
            setattr(node, name, value)
            yield from _changes(value, message)
        elif isinstance(value, list):
            for place, child in enumerate(value):
                if not isinstance(child, ast.AST):
                    continue
                for others in _lists(child, message):
                    setattr(node, name, [*value[:place], *others, *value[place + 1 :]])
                    if not getattr(node, name) and isinstance(child, ast.stmt):
                        setattr(node, name, [ast.Pass()] if name != "orelse" else [])
                    yield
                setattr(node, name, value)
                yield from _changes(child, message)


def _logs(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in LOG
    return False


def _lists(node: ast.AST, message: bool) -> Iterator[list[ast.AST]]:
    """What may stand in a list instead of *node*."""
    yield from ([other] for other in _others(node, message))
    match node:
        case ast.Expr(ast.Constant()) | ast.FunctionDef() | ast.AsyncFunctionDef():
            return  # a docstring; without a function nothing could work
        case ast.ClassDef() | ast.Pass() | ast.Import() | ast.ImportFrom():
            return
        case ast.With(body=body) | ast.AsyncWith(body=body):
            yield list(body)
        case ast.Try(body=body, handlers=[], finalbody=last):
            yield [*body, *last]
        case ast.While(test=test, body=body):
            yield [ast.If(test, body, [])]
    if isinstance(node, ast.stmt):
        yield []


def _others(node: ast.AST, message: bool) -> Iterator[ast.AST]:
    """What may stand in place of one *node*: nothing in a *message*."""
    if message or _logs(node):
        return
    for kind in OPERATORS.get(type(node), ()):
        yield kind()
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
            yield ast.Constant(0 if value else -1)
        case ast.Constant(value=str(value)):
            yield ast.Constant(value + "x")
        case ast.Await(value=inner) | ast.UnaryOp(op=ast.Not(), operand=inner):
            yield inner
        case ast.BoolOp(values=[first, second]):
            yield first
            yield second
        case ast.IfExp(test=test, body=body, orelse=other):
            yield ast.IfExp(test, other, body)
        case ast.If(test=test, body=body, orelse=other):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, other)
        case ast.Call():
            yield from _calls(node)
        case ast.Raise(exc=ast.Call(func=ast.Name(), args=args), cause=cause):
            yield ast.Raise(ast.Call(ast.Name("ArithmeticError"), args, []), cause)
        case ast.ExceptHandler(type=kind, name=name, body=body):
            for other in ("BaseException", "Exception", "()"):
                yield ast.ExceptHandler(ast.Name(other), name, body)
            if isinstance(kind, ast.Tuple):
                for one in kind.elts:
                    rest = [other for other in kind.elts if other is not one]
                    yield ast.ExceptHandler(ast.Tuple(rest, ast.Load()), name, body)


def _calls(call: ast.Call) -> Iterator[ast.AST]:
    if len(call.args) > 1 and not any(isinstance(arg, ast.Starred) for arg in call.args):
        first, second, *rest = call.args
        yield ast.Call(call.func, [second, first, *rest], call.keywords)
    for dropped in call.keywords:
        kept = [keyword for keyword in call.keywords if keyword is not dropped]
        yield ast.Call(call.func, call.args, kept)


class Endless(Exception):
    """A loop of a mutant that does not end."""


def runnable(source: str) -> str:
    """The *source* with a counter in each `while`: an endless one raises."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.While):
            node.body.insert(0, ast.Expr(ast.Call(ast.Name("_turn"), [], [])))
    return ast.unparse(ast.fix_missing_locations(tree))


class Turns:
    """Counts the turns of all loops of one mutant."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> None:
        self.made += 1
        if self.made > MOST_TURNS:
            raise Endless(f"more than {MOST_TURNS} turns")
