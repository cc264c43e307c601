"""A plugin for `pytest --nbval`: kernels in our environment, which need no ports to compete for."""

from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager

from cachepool_lib.lab.environment import settle
from cachepool_lib.lab.kernels import without_ports

settle()


def manager(**settings: Any) -> KernelManager:
    return KernelManager(**without_ports(), **settings)


nbval.kernel.KernelManager = manager
