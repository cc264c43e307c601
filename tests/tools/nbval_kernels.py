"""A plugin for `pytest --nbval`: kernels in our environment, which need no ports to compete for."""

from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager

from cachepool_lib.lab.course import without_ports
from cachepool_lib.lab.environment import settle

settle()


def manager(**settings: Any) -> KernelManager:
    return KernelManager(**without_ports(), **settings)


nbval.kernel.KernelManager = manager
