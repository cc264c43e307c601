"""Promises of simulated time, of replay and of its twin."""

import asyncio
import hashlib
import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepool_lib import AsyncCache, lab
from cachepool_lib.lab.simulation.loop import WALL_START
from cachepool_lib.lab.simulation.replay import PageFunction
from cachepool_lib.lab.simulation.traffic import Traffic

pytestmark = pytest.mark.anyio


def cached(
    database: lab.Database, ttl: float, maxsize: int | None = None, **options: float
) -> Callable[[], PageFunction]:
    """A page function with an AsyncCache of its own, for replay()."""

    def make() -> PageFunction:
        cache = AsyncCache(ttl, maxsize=maxsize, clock=lab.clock)

        async def page(user_id: int) -> object:
            return await cache.get_or_load(user_id, lambda: database.page(user_id), **options)

        return page

    return make


# Simulated time


def test_ten_hours_pass_at_once() -> None:
    """A sleep takes no time, and the clock says exactly how long it was."""

    async def main() -> list[float]:
        await asyncio.sleep(0.1)
        moments = [lab.clock()]
        await asyncio.gather(asyncio.sleep(36_000), asyncio.sleep(7))
        return [*moments, lab.clock()]

    begun = time.monotonic()
    assert lab.simulate(main()) == [0.1, 0.1 + 36_000]
    assert time.monotonic() - begun < 60


def test_timers_a_nanosecond_apart_run_apart() -> None:
    """Each timer runs at its own moment, even late in a long simulation."""

    async def main() -> list[float]:
        await asyncio.sleep(1e8)
        loop, seen = asyncio.get_running_loop(), list[float]()
        moments = [loop.time() + 1, loop.time() + 1 + 3e-8]
        for moment in moments:
            loop.call_at(moment, lambda: seen.append(loop.time()))
        await asyncio.sleep(2)
        assert seen == moments
        return seen

    first, second = lab.simulate(main())
    assert first < second


async def test_runs_where_a_loop_is_running() -> None:
    """simulate() can be called in a notebook cell, whose thread runs a loop of its own."""
    assert lab.simulate(asyncio.sleep(60, "back")) == "back"


def test_time_functions_follow_the_simulation_in_its_thread_alone() -> None:
    """Naive code sees simulated time; other threads and later code see the real one."""
    functions = time.time, time.monotonic, time.perf_counter
    elsewhere: list[float] = []

    async def main() -> list[float]:
        await asyncio.sleep(60)
        other = threading.Thread(target=lambda: elsewhere.extend([time.time(), time.monotonic()]))
        other.start()
        other.join()
        return [time.time() - WALL_START, time.monotonic(), time.perf_counter()]

    before = time.time(), time.monotonic()
    assert lab.simulate(main()) == [60, 60, 60]
    assert before <= (elsewhere[0], elsewhere[1]) <= (time.time(), time.monotonic())
    assert (time.time, time.monotonic, time.perf_counter) == functions


def test_setting_the_wall_clock_back_moves_the_wall_clock_alone() -> None:
    """set_back() moves time.time(), as an operator would, and nothing that measures durations."""

    async def main() -> tuple[float, float]:
        await asyncio.sleep(30)
        lab.wall.set_back(7200)
        return time.time() - WALL_START, time.monotonic()

    assert lab.simulate(main()) == (-7170, 30)
    with pytest.raises(RuntimeError, match="inside simulate"):
        lab.wall.set_back(1)


def test_random_is_seeded_and_restored() -> None:
    """Every simulation draws the same numbers and leaves those outside as they were."""

    async def main() -> float:
        return random.random()

    random.seed(42)
    expected = random.random()
    random.seed(42)
    assert lab.simulate(main()) == lab.simulate(main())
    assert random.random() == expected


def test_an_exception_comes_through() -> None:
    """What the coroutine raises, simulate() raises."""

    async def main() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(6)

    with pytest.raises(TimeoutError):
        lab.simulate(main())


def test_a_deadlock_is_an_error_that_names_who_waits() -> None:
    """Waiting for what can't come is an error, not a wait for ever."""

    async def reader() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.gather(reader(), reader())

    with pytest.raises(RuntimeError, match=r": main \(line \d+\), 2 × reader \(line \d+\)"):
        lab.simulate(main())


def test_a_simulation_inside_a_simulation_is_refused() -> None:
    """The error says what to do instead, and the outer simulation goes on."""

    async def main() -> str:
        with pytest.raises(RuntimeError, match="await the coroutine"):
            lab.simulate(asyncio.sleep(1))
        return "still here"

    assert lab.simulate(main()) == "still here"
    with pytest.raises(TypeError, match="takes a coroutine"):
        lab.simulate(main)  # type: ignore[arg-type]


def test_threads_of_asyncio_run_in_place() -> None:
    """asyncio.to_thread works, and takes no simulated time."""

    async def main() -> tuple[int, float]:
        return await asyncio.to_thread(sum, [1, 2]), lab.clock()

    assert lab.simulate(main()) == (3, 0)


def test_real_servers_are_out_of_reach() -> None:
    """A connection from simulated time fails, and the error says why."""
    with pytest.raises(NotImplementedError) as raised:
        lab.simulate(asyncio.open_connection("127.0.0.1", 9))
    assert raised.value.__notes__ == [
        "Simulated time knows no sockets: await real servers outside it."
    ]


@pytest.mark.parametrize("busy", [False, True], ids=["awaiting", "never awaiting"])
def test_an_interrupt_ends_the_simulation(busy: bool) -> None:
    """Interrupting a cell ends its simulation, even one stuck in a loop without an await."""

    async def main() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            if not busy:
                await asyncio.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        lab.simulate(main())
    assert lab.simulate(asyncio.sleep(1, "free again")) == "free again"


@pytest.mark.parametrize("pause", [None, 0, 1], ids=["never awaiting", "sleep(0)", "sleep(1)"])
def test_a_limit_ends_a_simulation_that_never_ends(pause: float | None) -> None:
    """Real seconds, not simulated ones: an hour of those is over at once."""

    async def main() -> None:
        while True:
            if pause is not None:
                await asyncio.sleep(pause)

    with pytest.raises(TimeoutError, match=r"^not done after 0\.1 s\. Is there a loop"):
        lab.simulate(main(), limit=0.1)
    assert lab.simulate(asyncio.sleep(3_600, "free again"), limit=10) == "free again"


def test_who_swallows_every_interrupt_is_interrupted_once() -> None:
    """It comes between two tasks, where none can catch it: else it would come by luck, or never."""
    caught: list[BaseException] = []

    async def again() -> None:
        while True:
            try:
                time.sleep(0.001)  # noqa: ASYNC251 - where an interrupt would find it, mostly
                await asyncio.sleep(0)
            except (KeyboardInterrupt, asyncio.CancelledError) as error:
                caught.append(error)

    async def main() -> None:
        await asyncio.gather(*(again() for _ in range(50)))

    with pytest.raises(TimeoutError):
        lab.simulate(main(), limit=0.1)
    assert {type(error) for error in caught} == {asyncio.CancelledError}


def test_an_interrupted_task_is_not_left_over() -> None:
    """Whoever interrupts a cell knows of it: the last cell does not complain."""

    async def busy() -> None:
        while True:
            pass

    tasks: list[asyncio.Task[None]] = []  # held, as a name in a notebook holds them

    async def main() -> None:
        tasks.append(asyncio.create_task(busy()))
        await asyncio.wait(tasks)

    with pytest.raises(TimeoutError):
        lab.simulate(main(), limit=0.1)
    asyncio.run(lab.nothing_left())


def test_an_interrupt_ends_a_simulation_whoever_listens_to_interrupts() -> None:
    """A kernel has a listener of its own for cells with an `await`; it is back afterwards."""

    def listener(number: int, frame: object) -> None:
        """Leaves it to the event loop, which stands still."""

    async def main() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            pass

    async def cell() -> None:
        with pytest.raises(KeyboardInterrupt):
            lab.simulate(main())

    before = signal.signal(signal.SIGINT, listener)
    try:
        asyncio.run(cell())
        assert signal.getsignal(signal.SIGINT) is listener
    finally:
        signal.signal(signal.SIGINT, before)


# Replay


def outcomes(run: lab.Replay) -> list[str]:
    return list(run.outcomes)


def test_without_a_cache_every_visitor_is_a_miss() -> None:
    """Fifty callers and no single flight are fifty queries, all misses."""
    database = lab.Database(0.02)
    run = lab.replay(database.page, lab.crowd(50), database=database)
    assert (run.counts["miss"], run.queries, run.hit_rate) == (50, 50, 0.0)
    assert run.seconds == [0.02] * 50


def test_with_single_flight_the_others_share() -> None:
    """One causes the query, those who come meanwhile share it, those who come later hit."""
    database = lab.Database(0.02)
    traffic = Traffic([0.0, 0.005, 0.01, 0.03], [7, 7, 7, 7])
    run = lab.replay(cached(database, 60), traffic, database=database)
    assert outcomes(run) == ["miss", "shared", "shared", "hit"]
    assert run.seconds == pytest.approx([0.02, 0.015, 0.01, 0])
    [query] = run.loads
    assert (query.key, query.start, query.end, query.request, query.ok) == (7, 0, 0.02, 0, True)


def test_an_old_answer_is_stale_and_its_refresh_no_miss() -> None:
    """A request that sets off a refresh and is answered at once with an old page is stale."""
    database = lab.Database(0.02)
    traffic = Traffic([0.0, 61.0, 62.0], [7, 7, 7])
    make = cached(database, 60, stale_while_revalidate=30)
    run = lab.replay(make, traffic, database=database, ttl=60)
    assert outcomes(run) == ["miss", "stale", "hit"]
    assert run.queries == 2


def test_a_database_that_is_down_fails_pages_or_makes_them_stale() -> None:
    """Without an old page the request fails; with stale_if_error it is answered, as stale."""
    database = lab.Database(0.02)
    database.down(30, 90)
    traffic = Traffic([0.0, 29.99, 65.0, 66.0], [7, 8, 7, 9])
    for window, third in ((0, "failed"), (60, "stale")):
        make = cached(database, 60, stale_if_error=window)
        run = lab.replay(make, traffic, database=database, ttl=60)
        assert outcomes(run) == ["miss", "failed", third, "failed"]
        assert run.outcomes_per_second()["failed"][29] == 1
        assert run.loads_per_second()[65] == 1


def test_who_leaves_is_cancelled_and_who_is_dragged_along_has_failed() -> None:
    """One of three leaves a naive shared task: it is cancelled, the two others lost their page."""
    database = lab.Database(0.02)
    flights: dict[int, asyncio.Task[object]] = {}

    async def page(user_id: int) -> object:
        if user_id not in flights:
            flights[user_id] = asyncio.create_task(database.page(user_id))
        return await flights[user_id]

    async def main() -> lab.Replay:
        watch = lab.Watch(page, database)
        callers = [asyncio.create_task(watch(7)) for _ in range(3)]
        await asyncio.sleep(0.01)
        callers[1].cancel()
        await asyncio.wait(callers)
        return watch.replay

    run = lab.simulate(main())
    assert outcomes(run) == ["failed", "cancelled", "failed"]
    assert run.seconds == [0.01] * 3


def test_a_mistake_in_the_page_is_raised() -> None:
    """Only connections and time-outs fail a request; a TypeError is shown to who wrote it."""

    async def page(user_id: int) -> str:
        return "user " + user_id  # type: ignore[operator]

    with pytest.raises(TypeError):
        lab.replay(page, lab.crowd(3), database=lab.Database())


async def test_real_runs_are_recorded_alike() -> None:
    """record() tells misses, shared and hits apart in real time, and with a real query."""

    async def query(user_id: int) -> str:
        await asyncio.sleep(0.001)
        return f"user {user_id}"

    database = lab.Database(query=query)
    page = cached(database, 60)()
    together = await lab.record(page, lab.crowd(3), database=database)
    assert outcomes(together) == ["miss", "shared", "shared"]
    after = await lab.record(page, [0, 1, 1], database=database)
    assert outcomes(after) == ["hit", "miss", "hit"]
    assert all(seconds > 0 for seconds in after.seconds)


def test_a_page_may_be_any_function_of_the_user_id() -> None:
    """An async function, a lambda, or what a maker without arguments makes in the simulation."""
    database = lab.Database()
    pages = [database.page, lambda user_id: database.page(user_id), lambda: database.page]
    for page in pages:
        assert lab.replay(page, lab.crowd(2), database=database).queries == 2


def test_values_come_from_a_maker() -> None:
    """A maker decides what the database answers."""
    database = lab.Database(maker=lambda user_id: [])
    assert lab.simulate(database.page(1)) == []
    assert repr(database) == "Database(0.02 s a query, 1 so far)"


# The same in every run, on every Python, and in the twin


def fingerprint(run: lab.Replay) -> str:
    rows = zip(run.at, run.keys, run.seconds, run.outcomes, strict=True)
    # Microseconds: the last bit of a logarithm may differ between machines.
    requests = [f"{at:.6f} {key} {seconds:.6f} {outcome}" for at, key, seconds, outcome in rows]
    queries = [f"{q.key} {q.start:.6f} {q.end:.6f} {q.request}" for q in run.loads]
    return hashlib.sha256("\n".join(requests + queries).encode()).hexdigest()[:16]


@given(
    seed=st.integers(0, 1_000_000),
    ttl=st.sampled_from([0, 0.05, 1, 10, math.inf]),
    maxsize=st.sampled_from([None, 1, 2, 10, 100]),
    load_seconds=st.sampled_from([0.001, 0.02, 0.2, 3]),
)
@settings(max_examples=20, deadline=None)
def test_twin_and_replay_agree_on_every_request(
    seed: int, ttl: float, maxsize: int | None, load_seconds: float
) -> None:
    """The event queue finds what real caches on the simulated loop find, request by request."""
    traffic = lab.traffic(seconds=10, users=200, seed=seed)
    database = lab.Database(load_seconds)
    run = lab.replay(cached(database, ttl, maxsize), traffic, database=database)
    assert run == lab.twin(traffic, ttl=ttl, maxsize=maxsize, load_seconds=load_seconds)


def test_a_replay_is_the_same_everywhere() -> None:
    """Traffic, replay and eviction give this result in every run, on every Python."""
    traffic = lab.traffic(seconds=100)
    database = lab.Database(0.2)
    runs = [lab.replay(cached(database, 10, 100), traffic, database=database) for _ in range(2)]
    assert [fingerprint(run) for run in runs] == ["955f5e1e63fe67f8"] * 2
    assert repr(runs[0]) == (
        "Replay(10,006 requests: 4,390 hit, 5,481 miss, 135 shared; 5,481 queries)"
    )


def test_who_shares_a_load_is_answered_in_order_of_arrival() -> None:
    """Fifty callers wait for one load, and go on in the order in which they came."""
    answered: list[int] = []

    async def main() -> None:
        cache = AsyncCache(60, clock=lab.clock)

        async def caller(number: int) -> None:
            await cache.get_or_load("page", lambda: asyncio.sleep(1))
            answered.append(number)

        await asyncio.gather(*(caller(number) for number in range(50)))

    lab.simulate(main())
    assert answered == list(range(50))


def test_theory_is_near_the_measured_hit_rate() -> None:
    """λT/(1+λT), weighed by popularity, is what a cache with room for all comes close to."""
    traffic = lab.traffic(seconds=600)
    for ttl in (1, 10, 60):
        run = lab.twin(traffic, ttl=ttl, maxsize=None)
        assert lab.theory_hit_rate(traffic, ttl) == pytest.approx(run.hit_rate, abs=0.01)


def test_p99_is_what_99_of_100_requests_took_at_most() -> None:
    """The slowest of a hundred is left out, and of a single one nothing is."""
    hundred = lab.Replay([0.0] * 100, [1] * 100, [*map(float, range(1, 101))], ["hit"] * 100)
    assert hundred.p99 == 99
    assert lab.Replay([0.0], [1], [0.5], ["miss"]).p99 == 0.5


# A database with so much room


def test_a_database_works_on_as_many_pages_as_it_has_room_for() -> None:
    """The others wait, first come, first served; a second run begins with an empty queue."""
    database = lab.Database(0.02, capacity=2)
    for _ in range(2):
        run = lab.replay(database.page, lab.crowd(5), database=database)
        waits = [round(seconds, 6) for seconds in run.seconds]
        assert waits == [0.02, 0.02, 0.04, 0.04, 0.06]


def test_a_full_queue_refuses_at_once_and_is_free_again_later() -> None:
    database = lab.Database(0.02, capacity=1, max_waiting=1)
    visits = Traffic([0, 0, 0, 0.1], [1, 2, 3, 4])
    run = lab.replay(database.page, visits, database=database)
    assert run.outcomes == ["miss", "miss", "failed", "miss"]
    assert [round(seconds, 6) for seconds in run.seconds] == [0.02, 0.04, 0.0, 0.02]


def test_who_leaves_the_queue_takes_no_room() -> None:
    """A visitor who gives up while waiting, or in a query, leaves the next one the place."""

    async def main() -> list[bool]:
        database = lab.Database(0.02, capacity=1, max_waiting=1)
        first, second = (asyncio.create_task(database.page(number)) for number in (1, 2))
        await asyncio.sleep(0.01)
        for task in (second, first):
            task.cancel()
            await asyncio.wait([task])
        pages = await asyncio.gather(*(database.page(number) for number in (3, 4)))
        return [page.user in (3, 4) for page in pages]

    assert lab.simulate(main()) == [True, True]
