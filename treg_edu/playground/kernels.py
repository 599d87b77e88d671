"""The visitors' processes: how many there may be at a time."""

from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError
from traitlets import Int

__all__ = ["Kernels"]


class Kernels(AsyncMappingKernelManager):
    """Voilà's kernels, one a visitor; one visitor too many is told to come back.  most: how many at a time."""

    most = Int(24, config=True)
    _coming = 0  # those whose process is being started

    async def start_kernel(self, **named: Any) -> str:  # type: ignore[override]
        if len(self) + self._coming >= self.most:
            raise HTTPError(503, f"{self.most} visitors are here, and there is no room for more: please come back in a few minutes")
        self._coming += 1
        try:
            return await super().start_kernel(**named)
        finally:
            self._coming -= 1
