"""`get_or_load_many`: each key goes the way of `get_or_load`; what is ours to load, one call loads.

So all that holds for one key holds for each of many. The loader of each is a Batch's, which waits
until it is known of every key whether it is ours.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Any

from cachepool_lib.errors import NotLoaded
from cachepool_lib.loading import MISSING, LoadOptions, Slot, get_or_load, require_loader
from cachepool_lib.single_flight import Call, SingleFlight

ManyLoader = Callable[[list[Any]], Awaitable[Mapping[Any, Any]]]
NewSlot = Callable[[Any, Callable[[], None]], Slot]  # of a key, with its on_join


async def get_or_load_many(
    keys: Iterable[Hashable],
    at_hand: Mapping[Any, Any],
    new_slot: NewSlot,
    loader: ManyLoader,
    options: LoadOptions,
) -> dict[Any, Any]:
    """The values of *keys*, in their order: of those *at_hand*, and of all others one by one.

    Raises, once all have ended, the error of the first key that has one.
    """
    require_loader(loader)
    keys = dict.fromkeys(keys)
    missing = [key for key in keys if key not in at_hand]
    if not missing:
        return {key: at_hand[key] for key in keys}
    batch = Batch(loader, missing)

    async def one(key: Hashable) -> tuple[Any, BaseException | None]:
        leave_out = partial(batch.leave_out, key)
        # Not by gather's return_exceptions: an exception may be a value, and one CancelledError
        # would leave the others alone.
        try:
            slot = new_slot(key, leave_out)
            return await get_or_load(slot, partial(batch.load, slot.calls, key), options), None
        except NotLoaded:
            return MISSING, None
        except (Exception, asyncio.CancelledError) as error:
            return MISSING, error
        finally:
            leave_out()

    values = dict(at_hand)
    for key, (value, error) in zip(missing, await asyncio.gather(*map(one, missing)), strict=True):
        if error is not None:
            raise error
        values[key] = value
    return {key: values[key] for key in keys if values[key] is not MISSING}


class Batch:
    """One call of *loader* for those of *keys* that are ours to load.

    It waits until of every key it is known whether it is, or that another load of it, here or in
    another process, is waited for. If such a load fails in the end, its key comes late: for those
    that come late, the loader is called once more.
    """

    def __init__(self, loader: ManyLoader, keys: Iterable[Hashable]) -> None:
        self._loader = loader
        self._keys = list(keys)
        self._undecided = set(self._keys)
        self._all_decided = asyncio.Event()
        self._run = "get_or_load_many", self  # the call of the loader is a call like any other
        self._wanted: set[Hashable] = set()  # by the call of the loader that is to come

    def leave_out(self, key: Hashable) -> None:
        """*key* need not be waited for any more."""
        self._undecided.discard(key)
        if not self._undecided:
            self._all_decided.set()

    async def load(self, calls: SingleFlight, key: Hashable) -> Any:
        """The value of *key*, which is ours to load; MISSING if the loader gives none."""
        run = calls.find(self._run)
        if run is None:
            self._wanted = {key}  # before an eager task can look
            run = calls.start(self._run, partial(self._load, calls, self._wanted))
        self._wanted.add(key)
        self.leave_out(key)
        values = await calls.wait(self._run, run)
        return values.get(key, MISSING)

    async def _load(
        self, calls: SingleFlight, wanted: set[Hashable], run: Call
    ) -> Mapping[Any, Any]:
        await self._all_decided.wait()
        calls.forget(self._run, run)  # whoever comes now is too late for this one
        asked = [key for key in self._keys if key in wanted]  # in their order, not as they came
        values = await self._loader(asked.copy())
        if not isinstance(values, Mapping):
            raise TypeError(
                f"the loader must return a dict with the value of each key, "
                f"got {type(values).__name__}"
            )
        for key in values:
            if key not in wanted:
                raise ValueError(
                    f"the loader returned a value for {key!r}, which it was not asked for: its "
                    f"dict must have the very keys that it is given, such as {asked[0]!r}"
                )
        return values
