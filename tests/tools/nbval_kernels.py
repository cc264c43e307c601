"""A plugin for `pytest --nbval`: kernels that need no ports, for which tests would compete."""

from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager

from cachepool_lib.lab.course import without_ports


def manager(**settings: Any) -> KernelManager:
    return KernelManager(**without_ports(), **settings)


nbval.kernel.KernelManager = manager
