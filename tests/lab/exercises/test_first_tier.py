"""Exercise 07-2: a first tier that hears what others change; each mistake has its message."""

from typing import Any

import pytest

from tests.tools.exercise_tools import look_at, message


async def right(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            await l1.delete(heard["data"].decode())


async def by_match(messages: Any, l1: Any) -> None:
    """Right: forgets by setting a ttl of 0, and reads on by hand."""
    while True:
        match await anext(messages):
            case {"type": "message", "data": data}:
                await l1.set(str(data, "utf-8"), None, ttl=0)
            case {"type": "subscribe" | "unsubscribe"}:
                await l1.clear()


@pytest.mark.parametrize("answer", [right, by_match])
def test_right_answers_pass(answer: Any) -> None:
    assert look_at("07-2", answer).passed


async def not_solved(messages: Any, l1: Any) -> None:
    raise NotImplementedError


def test_the_stub_is_not_solved_yet() -> None:
    assert look_at("07-2", not_solved).status == "not solved yet"


async def messages_alone(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "message":
            await l1.delete(heard["data"].decode())


async def always_clears(messages: Any, l1: Any) -> None:
    async for _ in messages:
        await l1.clear()


async def clears_at_all_else(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "message":
            await l1.delete(heard["data"].decode())
        else:
            await l1.clear()


async def bytes_as_key(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            await l1.delete(heard["data"])


async def printed_bytes(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            await l1.delete(str(heard["data"]))


async def the_channel(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            await l1.delete(heard["channel"].decode())


async def one_message(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            await l1.delete(heard["data"].decode())
            return


async def first_subscription_alone(messages: Any, l1: Any) -> None:
    await anext(messages)
    await l1.clear()
    await messages_alone(messages, l1)


async def ends_when_the_line_breaks(messages: Any, l1: Any) -> None:
    subscriptions = 0
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
            subscriptions += 1
            if subscriptions == 2:
                return
        else:
            await l1.delete(heard["data"].decode())


async def ascii_alone(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            await l1.delete(heard["data"].decode("ascii", "ignore"))


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (messages_alone, "The line broke, 'x' changed, and 'x' stayed old."),
        (first_subscription_alone, "The line broke, 'x' changed, and 'x' stayed old."),
        (always_clears, "'x' changed, and 'y' went too."),
        (bytes_as_key, "you deleted b'x', which is another key"),
        (printed_bytes, "'x' stayed old: you deleted \"b'x'\"."),
        (the_channel, "'x' stayed old: you deleted 'changes'."),
        (one_message, "The second change went unheard."),
        (ends_when_the_line_breaks, "The line was back, 'x' changed, and 'x' stayed old."),
        (clears_at_all_else, "nothing had changed, and the first tier was emptied"),
        (ascii_alone, "'Zoë' changed, and 'Zoë' stayed old."),
    ],
)
def test_a_wrong_answer_is_told_what_went_wrong(answer: Any, got: str) -> None:
    assert got in message("07-2", answer)
