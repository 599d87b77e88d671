"""The visitors' processes: how many there may be at a time, and when each of them ends."""

from datetime import UTC, datetime
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError
from traitlets import Float, Int

__all__ = ["Kernels"]


class Kernels(AsyncMappingKernelManager):
    """Voilà's kernels, one a visitor; one visitor too many is told to come back.

    most: how many at a time.  idle: seconds without a message after which one ends.  alone: seconds, if no page is connected to it.
    """

    most = Int(24, config=True)
    idle, alone = Float(900, config=True), Float(60, config=True)
    _coming = 0  # those whose process is being started

    async def start_kernel(self, **named: Any) -> str:  # type: ignore[override]
        if len(self) + self._coming >= self.most:
            raise HTTPError(503, f"{self.most} visitors are here, and there is no room for more: please come back in a few minutes")
        self._coming += 1
        try:
            return await super().start_kernel(**named)
        finally:
            self._coming -= 1

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """Looked at every `cull_interval` seconds: Voilà's pages cannot end their processes, since they have no cookie to show."""
        kernel = self.kernel_model(kernel_id)
        silent = (datetime.now(UTC) - datetime.fromisoformat(kernel["last_activity"])).total_seconds()
        if silent > (self.idle if kernel["connections"] else self.alone):
            await ensure_async(self.shutdown_kernel(kernel_id))
