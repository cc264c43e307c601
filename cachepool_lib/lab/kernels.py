"""Kernels that the course starts itself: of this Python, in its environment."""

import asyncio
import sys
from typing import Any
from uuid import uuid4

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from cachepool_lib.lab.servers.child import command


def without_ports() -> dict[str, str]:
    """Settings for a kernel that is reached by a name that nobody else has, where Linux can.

    A port is picked first and taken a second later: meanwhile a busy machine has given it away.
    """
    linux = sys.platform == "linux"
    return {"transport": "ipc", "ip": f"@cachepool-kernel-{uuid4()}"} if linux else {}


class ThisPython(AsyncKernelManager):
    """Starts the kernel of this environment, whatever a notebook or the home folder names."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**without_ports(), **settings)

    @property
    def kernel_spec(self) -> KernelSpec:
        # Errors only: kernels on loopback warn that they don't encrypt.
        options = ["-f", "{connection_file}", "--log-level=ERROR"]
        start = command("ipykernel.kernelapp", "launch_new_instance", *options)
        return KernelSpec(argv=start, display_name="Python 3", language="python")

    def shutdown_kernel(self, now: bool = False, restart: bool = False) -> Any:
        """As any kernel; at once when interrupted, for nobody waits for the end of its cell."""
        return super().shutdown_kernel(now=now or interrupted(), restart=restart)


def interrupted() -> bool:
    """Whether the task that runs is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
