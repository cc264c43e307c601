"""Redis and PostgreSQL in containers of a Docker engine, by way of testcontainers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cachepool_lib.lab.servers.provider import BadSetting, Pair, Unavailable, place, reason

SOCKET = "/var/run/docker.sock"
ENGINE_SECONDS = 2  # how long the engine may take to answer a question
START_SECONDS = 50.0
REACH_SECONDS = 2.0  # how long a port may take to be open, once its server runs
PULL_SECONDS = 600
LABEL = "cachepool-lab"  # on our containers; its value says whose they are


def image_names() -> tuple[str, str]:
    """The images of Redis and of PostgreSQL."""
    return (
        os.environ.get("CACHEPOOL_REDIS_IMAGE") or "redis:7-alpine",
        os.environ.get("CACHEPOOL_POSTGRES_IMAGE") or "postgres:17-alpine",
    )


def look_for_engine() -> None:
    """Raise Unavailable if nothing here points at a Docker engine. Cheap: it asks nobody."""
    paths = (Path(SOCKET), _settings() / "config.json")
    names = ("DOCKER_HOST", "DOCKER_CONTEXT")
    if not any(map(os.environ.get, names)) and not any(path.exists() for path in paths):
        raise Unavailable(f"no Docker engine answers at {SOCKET}: there is no such file")


def _engine() -> tuple[str, str]:
    """The address of the engine that `docker` would ask, and how to call it.

    Raises Unavailable if there is no such context. docker-py would take the default one then, and
    it finds none at all where there is no config.json.
    """
    host: Any = os.environ.get("DOCKER_HOST")
    name: Any = ""
    if not host:
        name = os.environ.get("DOCKER_CONTEXT") or _read("config.json").get("currentContext")
        name = name or "default"
        digest = hashlib.sha256(name.encode()).hexdigest()
        about = _read(f"contexts/meta/{digest}/meta.json").get("Endpoints", {}).get("docker", {})
        host = f"unix://{SOCKET}" if name == "default" else about.get("Host")
        if not host:
            raise Unavailable(f"Docker has no context {name}")
    scheme, _, rest = host.partition("://")
    at = f"at {scheme}://{rest.rpartition('@')[2]}"
    return host, f"of the context {name} {at}" if name else at


def _read(file: str) -> dict[str, Any]:
    """A file of Docker's settings; empty if it isn't there."""
    try:
        found: dict[str, Any] = json.loads((_settings() / file).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _settings() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))


def _here(host: str) -> bool:
    """Whether an engine at this address can be one of this machine."""
    parts = urlsplit(host)
    loopback = (parts.hostname or "").startswith("127.") or parts.hostname in ("localhost", "::1")
    return parts.scheme in ("unix", "http+unix", "npipe") or (loopback and parts.scheme != "ssh")


def may_pull() -> bool:
    """Whether CACHEPOOL_PULL lets Docker pull images. Raises BadSetting."""
    value = os.environ.get("CACHEPOOL_PULL", "")
    if value not in ("", "0", "1"):
        raise BadSetting(f"CACHEPOOL_PULL is {value}: it may be 1, then Docker may pull, or unset")
    return value == "1"


def check_engine() -> str:
    """How the engine is called that answers and has both images, pulled if that is allowed.

    Raises Unavailable if there is none. From then on DOCKER_HOST names this one.
    """
    try:
        import docker
        from docker.errors import APIError, DockerException, ImageNotFound
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed") from None
    host, called = _engine()
    if not _here(host):
        raise Unavailable(f"the Docker engine {called} publishes ports there, not on this machine")
    os.environ["DOCKER_HOST"] = host
    pulls, image = may_pull(), ""
    try:
        client = docker.from_env(timeout=ENGINE_SECONDS)
        missing = []
        for image in image_names():
            try:
                client.images.get(image)
            except ImageNotFound:
                missing.append(image)
    except (DockerException, OSError) as error:
        if image and isinstance(error, APIError):
            raise Unavailable(f"Docker refuses the image {image}: {reason(error)}") from None
        raise Unavailable(f"no Docker engine answers {called}: {reason(error)}") from None
    if missing and not pulls:
        names = " and no image ".join(missing)
        raise Unavailable(f"the Docker engine has no image {names}; CACHEPOOL_PULL=1 lets it pull")
    for image in missing:
        try:
            docker.from_env(timeout=PULL_SECONDS).images.pull(image)
        except (DockerException, OSError) as error:
            raise Unavailable(f"Docker can't pull {image}: {reason(error)}") from None
    return called


async def _remove(label: str) -> None:
    """Remove the containers with this label, at once and whatever happens to one of them."""
    import docker

    engine = docker.from_env()
    containers = engine.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    removals = [asyncio.to_thread(one.remove, force=True, v=True) for one in containers]
    await asyncio.gather(*removals, return_exceptions=True)


async def _reached(url: str, called: str) -> None:
    """Wait until somebody listens at *url*. Raises Unavailable if nobody does.

    The server runs, in its container: if its port is not here, the engine is on another machine,
    at the other end of a tunnel, say.
    """
    where = urlsplit(url)
    try:
        async with asyncio.timeout(REACH_SECONDS):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(where.hostname, where.port)
                    writer.transport.abort()
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Unavailable(
            f"the Docker engine {called} publishes ports elsewhere: {place(url)} is not here"
        ) from None


@contextlib.asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Pair]:
    """Run both servers in containers, published on the loopback address only."""
    called = check_engine()

    # testcontainers reads its settings when it is imported. We clean up, so its own cleaner, one
    # more container with one more image, need not run. Ports are published on this machine.
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    os.environ.setdefault("TC_POOLING_INTERVAL", "0.1")
    os.environ.setdefault("TC_MAX_TRIES", str(round(START_SECONDS / 0.1)))  # of that interval
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.community.redis import RedisContainer
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    testcontainers_config.tc_properties.pop("tc.host", None)  # another engine than the one asked
    await _remove(f"{LABEL}={folder}")  # of a guard that was killed
    run = secrets.token_hex(8)
    labels = {LABEL: str(folder), f"{LABEL}-run": run}
    password = secrets.token_urlsafe(12)
    redis_image, postgres_image = image_names()

    redis = RedisContainer(redis_image, password=password)
    options = ["--save", "", "--databases", "256", "--requirepass", password]
    redis.with_command(["redis-server", *options]).with_kwargs(labels=labels)
    # Not until it answers: where that can't be, it would take minutes.
    redis.waiting_for(LogMessageWaitStrategy("Ready to accept connections"))

    postgres = PostgresContainer(
        postgres_image, username="postgres", password=password, dbname="postgres", driver=None
    )
    settings = (
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "timezone=UTC",
        "max_connections=300",
    )  # all share it, and some open pools by the dozen
    options = [part for setting in settings for part in ("-c", setting)]
    postgres.with_command(["postgres", *options]).with_kwargs(labels=labels)

    for container in (redis, postgres):
        # The default is every address of this machine.
        container.ports = dict.fromkeys(container.ports, ("127.0.0.1", None))  # type: ignore[arg-type]
    try:
        try:
            starts = [asyncio.to_thread(one.start) for one in (redis, postgres)]
            # Both to the end, or one could still be made after the other's failure is cleaned up.
            for outcome in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
            at = f"{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}"
            urls = f"redis://:{password}@{at}", postgres.get_connection_url()
            await asyncio.gather(*(_reached(url, called) for url in urls))
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable(f"Docker can't run the servers: {reason(error)}") from error
        yield Pair(*urls, START_SECONDS)
    finally:
        await _remove(f"{LABEL}-run={run}")
