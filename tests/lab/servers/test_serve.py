"""A service in several processes: who answers, who leaves, and that nothing is left of it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cachepool_lib import lab
from cachepool_lib.lab.servers.ask import ask
from cachepool_lib.lab.servers.serve_master import PAUSE_SECONDS

pytestmark = pytest.mark.anyio

FILE = """
import asyncio, os
from contextlib import asynccontextmanager
from fastapi import FastAPI

@asynccontextmanager
async def lifespan(app):
    if os.environ.get("BROKEN"):
        raise RuntimeError("no database")
    yield
    open(os.environ["CLOSED"], "a").write("closed\\n") if "CLOSED" in os.environ else None

app = FastAPI(lifespan=lifespan)

async def page(user_id):
    await asyncio.sleep(float(os.environ.get("SLOW", 0)))
    return f"page of {user_id}"

@app.get("/users/{user_id}")
async def users(user_id: int):
    return await page(user_id)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "service.py"
    path.write_text(FILE, encoding="utf-8")
    return path


def gone(*pids: int) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


async def test_workers_answer_and_leave_nothing(file: Path, tmp_path: Path) -> None:
    """Pages come from the workers' processes; at the end each has closed and is gone."""
    closed = tmp_path / "closed"
    async with lab.serve(file, workers=2, env={"CLOSED": closed}) as service:
        assert repr(service) == "2 workers"
        pids = service.pids
        answer = await ask(service.url, "/users/7")
        assert answer.json() == "page of 7"
        assert int(answer.headers["x-worker"]) in pids
        listening = psutil.Process(pids[0]).net_connections()
        assert {one.laddr.ip for one in listening if one.status == "LISTEN"} == {"127.0.0.1"}
    assert closed.read_text(encoding="utf-8") == "closed\n" * 2
    assert gone(*pids)
    with pytest.raises(ConnectionRefusedError):
        await ask(service.url, "/users/7")


async def test_the_next_service_starts_from_the_same_process(file: Path) -> None:
    """Imports are paid for once, also after a worker that failed; the next one has its own log."""

    async def master() -> int:
        async with lab.serve(file, workers=1) as service:
            return psutil.Process(service.pids[0]).ppid()

    first = await master()
    async with lab.serve(file, workers=1) as service:
        with pytest.raises(lab.ServiceFailed):
            await service.start({"BROKEN": 1})
    assert await master() == first


async def test_a_function_of_the_notebook_can_be_served(file: Path) -> None:
    """A factory goes to the workers by value, with all it refers to; so does what replaces."""

    def factory() -> Any:
        from fastapi import FastAPI

        app = FastAPI()
        app.get("/")(lambda: os.environ["CACHE_NAMESPACE"])
        return app

    async def page(user_id: int) -> str:
        return f"another page of {user_id}"

    async with lab.serve(factory, workers=1) as service:
        assert (await ask(service.url, "/")).json().startswith("shop-")
    async with lab.serve(file, workers=1, replace={"page": page}) as service:
        assert (await ask(service.url, "/users/7")).json() == "another page of 7"
    with pytest.raises(lab.ServiceFailed, match="has no attribute 'pgae'"):
        async with lab.serve(file, workers=1, replace={"pgae": page}):
            pass
    with pytest.raises(ValueError, match="replace needs an app in a file"):
        async with lab.serve(factory, replace={"page": page}):
            pass


async def test_a_failed_start_says_why(file: Path) -> None:
    """A worker that can't start is an error with its reason; one more is, too."""
    with pytest.raises(lab.ServiceFailed, match="RuntimeError: no database"):
        async with lab.serve(file, workers=2, env={"BROKEN": 1}):
            pass
    async with lab.serve(file, workers=1) as service:
        with pytest.raises(lab.ServiceFailed, match="RuntimeError: no database"):
            await service.start({"BROKEN": 1})
        await service.start()
        assert repr(service) == "2 workers"
        assert (await ask(service.url, "/users/7")).status == 200
    with pytest.raises(lab.ServiceFailed, match="stopped"):
        await service.start()


async def test_a_worker_that_is_told_to_leave_finishes_its_page(file: Path) -> None:
    """SIGTERM loses no page that is under way, SIGKILL does; then nobody listens any more."""
    async with lab.serve(file, workers=1, env={"SLOW": 3 * PAUSE_SECONDS}) as service:
        await service.start()
        first, second = service.pids
        await service.kill(second)
        page = asyncio.create_task(ask(service.url, "/users/7"))
        await asyncio.sleep(PAUSE_SECONDS)
        await service.term(first)
        assert (await page).status == 200
        with pytest.raises(ConnectionRefusedError):
            await ask(service.url, "/users/7")
    async with lab.serve(file, workers=1, env={"SLOW": 5}) as service:
        page = asyncio.create_task(ask(service.url, "/users/7"))
        await asyncio.sleep(PAUSE_SECONDS)
        [pid] = service.pids
        await service.kill(pid)
        with pytest.raises(OSError):
            await page
        with pytest.raises(ValueError, match="is no worker that runs"):
            await service.kill(pid)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("who", ["notebook", "master"])
async def test_nothing_is_left_if_a_process_is_killed(file: Path, who: str) -> None:
    """Killed without a word, the process that serves or its master takes the workers with it."""
    code = (
        "import asyncio, sys\n"
        "from cachepool_lib import lab\n"
        "async def main():\n"
        "    async with lab.serve(sys.argv[1], workers=2) as service:\n"
        "        print(*service.pids, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(file)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    pids = [int(pid) for pid in (await process.stdout.readline()).split()]
    assert len(pids) == 2
    master = psutil.Process(pids[0]).ppid()
    os.kill(process.pid if who == "notebook" else master, signal.SIGKILL)
    await until(lambda: gone(*pids))
    if who == "notebook":
        await until(lambda: gone(master))
    else:
        process.kill()
    await process.wait()
