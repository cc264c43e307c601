"""Redis and PostgreSQL in containers of a Docker engine, by way of testcontainers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from cachepool_lib.lab.servers.provider import Pair, Unavailable, reason

SOCKET = "/var/run/docker.sock"
ENGINE_SECONDS = 2  # how long the engine may take to answer a question
START_SECONDS = 50.0
PULL_SECONDS = 600
LABEL = "cachepool-lab"  # on our containers; its value says whose they are


def image_names() -> tuple[str, str]:
    """The images of Redis and of PostgreSQL."""
    return (
        os.environ.get("CACHEPOOL_REDIS_IMAGE") or "redis:7-alpine",
        os.environ.get("CACHEPOOL_POSTGRES_IMAGE") or "postgres:17-alpine",
    )


def engine_in_sight() -> bool:
    """Whether anything here points at a Docker engine. Cheap: it asks nobody."""
    paths = (Path(SOCKET), Path.home() / ".docker/config.json")
    names = ("DOCKER_HOST", "DOCKER_CONTEXT")
    return any(map(os.environ.get, names)) or any(path.exists() for path in paths)


def no_engine(why: str) -> str:
    return f"no Docker engine answers at {os.environ.get('DOCKER_HOST') or SOCKET}: {why}"


def check_engine() -> None:
    """Raise Unavailable unless an engine answers and has both images, pulled if that is allowed."""
    try:
        import docker
        from docker.errors import DockerException, ImageNotFound
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed") from None
    try:
        client = docker.from_env(timeout=ENGINE_SECONDS)
        missing = []
        for image in image_names():
            try:
                client.images.get(image)
            except ImageNotFound:
                missing.append(image)
    except (DockerException, OSError) as error:
        raise Unavailable(no_engine(reason(error))) from None
    if missing and os.environ.get("CACHEPOOL_PULL") != "1":
        names = " and no image ".join(missing)
        raise Unavailable(f"the Docker engine has no image {names}; CACHEPOOL_PULL=1 lets it pull")
    for image in missing:
        try:
            docker.from_env(timeout=PULL_SECONDS).images.pull(image)
        except (DockerException, OSError) as error:
            raise Unavailable(f"Docker can't pull {image}: {reason(error)}") from None


async def _remove(label: str) -> None:
    """Remove the containers with this label, at once and whatever happens to one of them."""
    import docker

    engine = docker.from_env()
    containers = engine.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    removals = [asyncio.to_thread(one.remove, force=True, v=True) for one in containers]
    await asyncio.gather(*removals, return_exceptions=True)


@contextlib.asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Pair]:
    """Run both servers in containers, published on the loopback address only."""
    check_engine()

    # testcontainers reads its settings when it is imported. We clean up, so its own cleaner, one
    # more container with one more image, need not run. Ports are published on this machine.
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    os.environ.setdefault("TC_POOLING_INTERVAL", "0.1")
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.community.redis import RedisContainer

    await _remove(f"{LABEL}={folder}")  # of a guard that was killed
    run = secrets.token_hex(8)
    labels = {LABEL: str(folder), f"{LABEL}-run": run}
    password = secrets.token_urlsafe(12)
    redis_image, postgres_image = image_names()

    redis = RedisContainer(redis_image, password=password)
    options = ["--save", "", "--databases", "256", "--requirepass", password]
    redis.with_command(["redis-server", *options]).with_kwargs(labels=labels)

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
            place = f"{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}"
            database_url = postgres.get_connection_url()
        except Exception as error:
            raise Unavailable(f"Docker can't run the servers: {reason(error)}") from error
        yield Pair(f"redis://:{password}@{place}", database_url, START_SECONDS)
    finally:
        await _remove(f"{LABEL}-run={run}")
