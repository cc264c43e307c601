"""A student's container, used and measured: `python -m tests.tools.room IMAGE`. See .ci/room."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import aiohttp
import docker
from packaging.utils import canonicalize_name

from tests.tools.notebook_tools import NOTEBOOKS, ROOT

FIRST = "work/00-start-here.ipynb"
BASE_URL = "/user/ada/"
# As BinderHub starts it, with each setting for two generations of Jupyter; as repo2docker does;
# what a JupyterHub would start.
BINDER = ["python3", "-c", "import jupyterlab.labapp, os, sys; os.execvp('jupyter-lab', sys.argv)"]
BINDER += ["--ip=0.0.0.0", "--port=8888"]
BINDER += [f"--{app}.base_url={BASE_URL}" for app in ("NotebookApp", "ServerApp")]
REPO2DOCKER = [
    "jupyter",
    "notebook",
    "--ip=0.0.0.0",
    "--port=8888",
    f"--ServerApp.base_url={BASE_URL}",
]
HUB = ["jupyterhub-singleuser", "--version"]


class Student:
    """Who sits in front of the JupyterLab of a container."""

    def __init__(self, container: Any, base_url: str, token: str) -> None:
        self.container, self.token, self.peak = container, token, 0
        [port] = container.ports["8888/tcp"]
        self.url = f"http://127.0.0.1:{port['HostPort']}{base_url}"

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Authorization": f"token {self.token}"})

    async def first_page(self) -> str:
        """The path of the page that comes first, once JupyterLab listens."""
        async with self.session() as http:
            for _ in range(600):
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with http.get(self.url) as answer:
                        assert "jupyter-config-data" in await answer.text()
                        return answer.url.path
                await asyncio.sleep(0.1)
        raise TimeoutError(f"nobody listens at {self.url}:\n{self.container.logs().decode()}")

    async def run(self, path: str) -> int:
        """Open the notebook, run all of its cells, leave it open. Returns how many there were."""
        wanted = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        async with self.session() as http:
            async with http.post(f"{self.url}api/sessions", json=wanted) as answer:
                kernel = (await answer.json())["kernel"]["id"]
            async with http.get(f"{self.url}api/contents/{path}") as answer:
                notebook = (await answer.json())["content"]
            cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
            assert not any(cell["outputs"] for cell in cells), f"{path} holds results"
            channels = f"{self.url}api/kernels/{kernel}/channels"
            async with http.ws_connect(channels, max_msg_size=0) as socket:
                for cell in cells:
                    await self._run_cell(socket, cell, path)
        return len(cells)

    async def _run_cell(self, socket: Any, cell: Any, path: str) -> None:
        header = {"msg_id": uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
        header |= {"username": "ada", "session": "room", "date": ""}
        content = {"code": "".join(cell["source"]), "silent": False, "stop_on_error": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await socket.send_json(message | {"channel": "shell"})
        async for received in socket:
            if received.type is aiohttp.WSMsgType.BINARY:  # of a widget, and no reply
                continue
            answer = received.json()
            mine = answer["parent_header"].get("msg_id") == header["msg_id"]
            if mine and answer["header"]["msg_type"] == "execute_reply":
                break
        else:
            raise AssertionError(f"{path}: the connection to its kernel ended")
        failed = answer["content"]["status"] != "ok"
        if failed and "raises-exception" not in cell["metadata"].get("tags", []):
            raise AssertionError(f"{path}: {content['code']}\n{answer['content']}")

    async def watch(self) -> None:
        """Look at the memory again and again: an answer takes the engine a second or two."""
        while True:
            await asyncio.to_thread(self.memory)

    def memory(self) -> int:
        """Bytes that could not be had back now; remembers the most."""
        said = self.container.stats(stream=False, one_shot=True)["memory_stats"]
        files = said["stats"].get("total_inactive_file", said["stats"].get("inactive_file", 0))
        used: int = said["usage"] - files
        self.peak = max(self.peak, used)
        return used

    def cpu(self) -> float:
        """Seconds of a processor, so far."""
        said = self.container.stats(stream=False, one_shot=True)["cpu_stats"]
        return float(said["cpu_usage"]["total_usage"]) / 1e9


@contextlib.contextmanager
def student(image: str, command: list[str], base_url: str) -> Iterator[Student]:
    """A container that runs *command*, reached on loopback; gone with the block."""
    token = secrets.token_hex(16)
    container = docker.from_env().containers.run(
        image,
        command or None,
        environment={"JUPYTER_TOKEN": token},
        ports={"8888/tcp": ("127.0.0.1", None)},
        detach=True,
    )
    try:
        container.reload()
        yield Student(container, base_url, token)
    finally:
        container.remove(force=True)


def output(image: str, command: str, network: str = "none") -> str:
    """What a command prints as the student, without network if not told; it must not fail."""
    run = docker.from_env().containers.run
    said: bytes = run(image, ["sh", "-c", command], network_mode=network, remove=True)
    return said.decode().strip()


def without_network(image: str) -> None:
    """The commands of README, where nothing can be fetched."""
    assert output(image, "id -u") == "1000"
    print(told := output(image, "make doctor"))
    assert told.startswith("✓ All well"), "it set something up first"
    assert "is new" in output(image, "make reset NB=01")
    frozen = output(image, "python -m pip freeze --exclude-editable").splitlines()
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = {tuple(line.partition(" ;")[0].strip().split("==")) for line in pinned}
    loose = [
        line
        for line in frozen
        if (canonicalize_name(line.partition("==")[0]), line.partition("==")[2]) not in versions
    ]
    assert not loose, f"not in constraints.txt: {loose}"


def in_a_clone(image: str) -> None:
    """What a devcontainer does after it was created: the library is that of the clone."""
    settings = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    where = "python -c 'import cachepool_lib; print(cachepool_lib.__file__)'"
    steps = ["cp -r --preserve . /tmp/clone", "cd /tmp/clone"]
    steps += [settings["postCreateCommand"], "cd /", where]
    said = output(image, " && ".join(steps), network="host")
    assert said.endswith("/tmp/clone/cachepool_lib/__init__.py"), said


async def everybodys_way(image: str) -> None:
    """Whoever starts it finds the same first page."""
    for command, where in ((BINDER, "lab/tree"), (REPO2DOCKER, "notebooks")):
        with student(image, command, BASE_URL) as ada:
            assert await ada.first_page() == f"{BASE_URL}{where}/{FIRST}"
    print(f"{' '.join(HUB)}: {output(image, ' '.join(HUB))}")


async def a_lesson(image: str) -> None:
    """Open five notebooks one after the other, and run each."""
    with student(image, [], "/") as ada:
        assert await ada.first_page() == f"/lab/tree/{FIRST}"
        print(f"no notebook open: {ada.memory() / 1e9:.2f} GB")
        names = [path.name for path in NOTEBOOKS[:5]]
        names.insert(0, names.pop(2))  # of these 02 takes most while it runs
        for number, name in enumerate(names, 1):
            cpu, started, ada.peak = ada.cpu(), time.monotonic(), 0
            watching = asyncio.create_task(ada.watch())
            cells = await ada.run(f"work/{name}")
            watching.cancel()
            print(
                f"{number} open, after {cells} cells of {name}: {ada.memory() / 1e9:.2f} GB, "
                f"at most {ada.peak / 1e9:.2f} GB; {ada.cpu() - cpu:.0f} s of a processor in "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )


def main() -> None:
    image = sys.argv[1]
    size = docker.from_env().images.get(image).attrs["Size"]
    print(f"{image}: {size / 1e6:.0f} MB")
    without_network(image)
    in_a_clone(image)
    asyncio.run(everybodys_way(image))
    asyncio.run(a_lesson(image))


if __name__ == "__main__":
    main()
