"""What `make playground` starts: the worker, and Voilà with nothing open that a stranger does not need."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import checks, files
from .connections import VisitorConnection
from .kernels import Kernels
from .messages import ADDRESS
from .uploads import MOST_BYTES

__all__ = ["configuration", "run", "serve"]

SHARE = Path(__file__).parent / "share"
IDLE, ALONE, LOOK = 900, 60, 15
"""Seconds without a message after which a visitor's process ends, with a page and without one, and between two looks."""
WORKERS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
"""Of the worker's environment: a thread that waits leaves its core to the visitors' processes."""
VISITORS = {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Of theirs: one thread, and no memory reserved that is not used."""
HEADERS = {
    # JupyterLab's parts compile their schemas at run time, and widgets style themselves; nothing comes from another host.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data:; object-src 'none'; "
        "base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def configuration(host: str, port: int, base_url: str, visitors: int) -> Any:
    """Voilà's settings, as a traitlets `Config`."""
    from traitlets.config import Config

    config = Config()
    config.Voila.update(ip=host, port=port, port_retries=0, base_url=base_url, open_browser=False, log_level="WARN")
    config.Voila.kernel_websocket_connection_class = VisitorConnection
    config.Voila.tornado_settings = {"headers": HEADERS, "websocket_max_message_size": 2 * MOST_BYTES}
    config.VoilaConfiguration.update(
        template="playground",
        allow_template_override="NO",
        allow_theme_override="NO",
        strip_sources=True,
        show_tracebacks=False,
        file_allowlist=["(?!)"],  # no file at all
        extension_allowlist=["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "ipycanvas"],
        multi_kernel_manager_class=Kernels,
    )
    config.Kernels.update(most=visitors, idle=IDLE, alone=ALONE, cull_idle_timeout=IDLE, cull_interval=LOOK)
    config.KernelRestarter.restart_limit = 0  # a process that died has lost its page: the visitor is told to open it again
    return config


def serve(host: str = "127.0.0.1", port: int = 8866, base_url: str = "/", visitors: int = 24) -> None:
    """Serve the playground until interrupted.

    base_url: the path that a proxy serves it under, such as "/playground/".  visitors: how many at a time.
    """
    checks.integer("port", port, 1, 65535)
    checks.integer("visitors", visitors)
    path = re.fullmatch(r"/([\w.~-]+/)*[\w.~-]*", base_url, re.ASCII)
    checks.expect(path, "base-url", repr(base_url), "a path that begins with /, such as /playground/")
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, ValueError) as error:
        came = f"{host!r} and {port}, where nothing can listen ({getattr(error, 'strerror', None) or error})"
        checks.fail("host, port", came, "an address of this machine and a free port")
    run(configuration(host, port, base_url if base_url.endswith("/") else f"{base_url}/", visitors))


def run(config: Any) -> None:
    """The worker and Voilà, until interrupted."""
    from voila.app import Voila

    with tempfile.TemporaryDirectory(prefix="treg-edu-") as folder:  # no one else may enter it
        common = surroundings(Path(folder))
        stop = threading.Event()
        keeper = threading.Thread(target=keep_worker, args=(os.environ | common | WORKERS, common[ADDRESS], stop))
        os.environ |= common | VISITORS
        keeper.start()
        try:
            app = Voila(config=config, config_file_paths=[], connection_dir_root=folder)
            app.initialize([str(files.shipped("notebooks") / "playground.ipynb")])
            print(f"the playground is at {app.connection_url}; Ctrl-C ends it", flush=True)
            app.start()
        finally:
            stop.set()
            keeper.join()


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of Voilà, of the worker and of the visitors' processes: everything that they write goes to one folder."""
    named = {"JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_CONFIG_DIR": "config", "IPYTHONDIR": "ipython"}
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    path = os.pathsep.join(filter(None, [str(SHARE), os.environ.get("JUPYTER_PATH")]))
    return {name: str(folder / each) for name, each in named.items()} | offline | {ADDRESS: str(folder / "worker"), "JUPYTER_PATH": path}


def keep_worker(environment: Mapping[str, str], address: str, stop: threading.Event) -> None:
    """Run the worker, again whenever it ends, until told to stop."""
    while not stop.is_set():
        Path(address).unlink(missing_ok=True)
        worker = subprocess.Popen([sys.executable, "-m", f"{__package__}.worker", address], env=environment)
        while worker.poll() is None and not stop.wait(0.5):
            pass
        worker.terminate()
        worker.wait()
