"""Exercise 07-2: a first tier that hears what others change; each mistake has its message."""

from collections.abc import Callable
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


async def seen_since_the_line_opened(messages: Any, l1: Any) -> None:
    seen: set[str] = set()
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
            seen.clear()
        elif heard["type"] == "message" and (key := heard["data"].decode()) not in seen:
            seen.add(key)
            await l1.delete(key)


async def never_twice(messages: Any, l1: Any) -> None:
    seen: set[str] = set()
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message" and (key := heard["data"].decode()) not in seen:
            seen.add(key)
            await l1.delete(key)


async def not_the_same_twice_in_a_row(messages: Any, l1: Any) -> None:
    last = ""
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            if (key := heard["data"].decode()) != last:
                await l1.delete(key)
            last = key


async def clears_when(messages: Any, l1: Any, when: Callable[[int], bool]) -> None:
    subscriptions = 0
    async for heard in messages:
        if heard["type"] == "subscribe":
            subscriptions += 1
            if when(subscriptions):
                await l1.clear()
        elif heard["type"] == "message":
            await l1.delete(heard["data"].decode())


async def not_at_the_first(messages: Any, l1: Any) -> None:
    await clears_when(messages, l1, lambda count: count > 1)


async def before_the_line_instead(messages: Any, l1: Any) -> None:
    await l1.clear()
    await not_at_the_first(messages, l1)


async def at_two_alone(messages: Any, l1: Any) -> None:
    await clears_when(messages, l1, lambda count: count <= 2)


async def at_every_second(messages: Any, l1: Any) -> None:
    await clears_when(messages, l1, lambda count: count % 2 == 0)


async def waits_for_all(messages: Any, l1: Any) -> None:
    await right(by_and_by([heard async for heard in messages]), l1)


async def by_and_by(messages: Any) -> Any:
    for heard in messages:
        yield heard


async def returns_after_the_first(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        return


async def keeps_none(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            await l1.set(heard["data"].decode(), None)


async def ends_at_a_pong(messages: Any, l1: Any) -> None:
    async for heard in messages:
        if heard["type"] == "subscribe":
            await l1.clear()
        elif heard["type"] == "message":
            await l1.delete(heard["data"].decode())
        else:
            return


async def does_not_wait(messages: Any, l1: Any) -> None:
    for heard in messages:
        await l1.delete(heard["data"].decode())


GO_ON = "goes on for as long as messages come; nothing may end it."


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (waits_for_all, "The line never ends, so a list of all is never complete."),
        (returns_after_the_first, GO_ON),
        (one_message, GO_ON),
        (ends_when_the_line_breaks, GO_ON),
        (ends_at_a_pong, GO_ON),
        (keeps_none, "await l1.delete(message['data'].decode())"),
        (never_twice, "forget it at each message."),
        (does_not_wait, "Messages are waited for: `async for message in messages:`."),
    ],
)
def test_a_hint_leads_on(answer: Any, hint: str) -> None:
    """It never says what the answer has."""
    assert message("07-2", answer).endswith(hint)


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
        (seen_since_the_line_opened, "read in again, changed again, and 'x' stayed old."),
        (never_twice, "read in again, changed again, and 'x' stayed old."),
        (not_the_same_twice_in_a_row, "read in again, changed again, and 'x' stayed old."),
        (not_at_the_first, "Before the line was open 'x' changed, and 'x' stayed old."),
        (before_the_line_instead, "Before the line was open 'x' changed, and 'x' stayed old."),
        (at_two_alone, "The line broke again, 'x' changed, and 'x' stayed old."),
        (at_every_second, "The line broke again, 'x' changed, and 'x' stayed old."),
        (waits_for_all, "Two messages came, and you did nothing to l1."),
        (returns_after_the_first, "Your function returned, and the line goes on."),
        (keeps_none, "None was kept for it, as if it were the new page."),
        (ends_at_a_pong, "A 'pong' came, then 'x' changed, and 'x' stayed old."),
        (ascii_alone, "'Zoë' changed, and 'Zoë' stayed old."),
    ],
)
def test_a_wrong_answer_is_told_what_went_wrong(answer: Any, got: str) -> None:
    assert got in message("07-2", answer)
