"""Chromium, a Jupyter server with settings of its own, and a notebook open in both. For tests and benchmarks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SETTINGS = (
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_RUNTIME_DIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
    "IPYTHONDIR",
)


CELLS = "jupyterapp.shell.currentWidget.content.widgets.length"  # how many cells the notebook has


def busy_until(flag: Path) -> str:
    """A cell that keeps the kernel busy until this file is there; the notebook's setup imports pathlib and time."""
    return f"print('busy now')\nwhile not pathlib.Path({str(flag)!r}).exists():\n    time.sleep(0.01)"


def chromium_path() -> str | None:
    """The browser that `MEDLAB_CHROMIUM` names, else the first Chromium or Chrome on the path."""
    named = os.environ.get("MEDLAB_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def settle(page: Any) -> None:
    """Wait until what was asked for is drawn: two display frames later."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels(page: Any, pane: int) -> np.ndarray:
    """The picture in a pane, (rows, columns, 3) uint8, in voxels of the image."""
    got = page.evaluate(
        """(i) => {
          const canvas = document.querySelectorAll(".mlv-image")[i];
          const { width, height } = canvas, data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
          return { width, height, data: Array.from(data) };
        }""",
        pane,
    )
    return np.array(got["data"], np.uint8).reshape(got["height"], got["width"], 4)[..., :3]


def state(page: Any, expression: str) -> Any:
    """The value of an expression of `view` (the display) and `session` (what all displays share)."""
    return page.evaluate(
        f"() => {{ const view = document.querySelector('.mlv').viewer, session = view.session; return {expression}; }}"
    )


@dataclass(frozen=True)
class Server:
    """A server that runs: its address, and the folder of its notebooks."""

    address: str
    folder: Path


@contextlib.contextmanager
def running_server(home: Path) -> Iterator[Server]:
    """JupyterLab and Notebook 7 on a free port, with everything they write under `home`."""
    folder = home / "notebooks"
    folder.mkdir()
    (home / "labconfig").mkdir()
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (home / "labconfig" / "page_config.json").write_text(json.dumps(quiet))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"]
    places = dict.fromkeys(SETTINGS, str(home))
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(command, env=os.environ | places, stdout=log, stderr=log) as process,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, process, home / "log")
            yield Server(address, folder)
        finally:
            process.terminate()


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    """Until the server answers. A refused connection comes back at once, so this asks every tenth of a second."""
    for _ in range(900):
        try:
            with urllib.request.urlopen(f"{address}/api", timeout=60):
                return
        except urllib.error.URLError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                break  # it ended
    raise RuntimeError(f"the Jupyter server did not start:\n{log.read_text()}")


class Notebook:
    """One notebook that is open in a browser."""

    def __init__(self, page: Any, server: Server, setup: str) -> None:
        self.page, self.server, self.setup = page, server, setup

    def open(self, *cells: str, app: str = "lab/tree", name: str = "test.ipynb") -> None:
        """Write a notebook of these cells, open it and wait until its kernel is ready."""
        made = [
            {
                "cell_type": "code",
                "id": f"cell{i}",
                "execution_count": None,
                "metadata": {},
                "outputs": [],
                "source": text,
            }
            for i, text in enumerate([self.setup, *cells])
        ]
        kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        content = {"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (self.server.folder / name).write_text(json.dumps(content))
        self.name = name
        self.page.goto(f"{self.server.address}/{app}/{name}?reset")  # without what was open before
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        self.page.wait_for_function(
            """(name) => {
              const panel = globalThis.jupyterapp?.shell.currentWidget, session = panel?.sessionContext;
              const ready = session?.isReady && session.session?.kernel?.status === "idle";
              return ready && panel.context.path === name && panel.content?.widgets?.length;
            }""",
            arg=self.name,
        )

    def close(self) -> None:
        """End the kernels, so that the next notebook begins with a fresh one."""
        self.page.evaluate("globalThis.jupyterapp?.serviceManager.sessions.shutdownAll()")

    def run_all(self) -> None:
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def kernel(self, code: str) -> str:
        """What code prints in the kernel."""
        return self.page.evaluate(
            """async (code) => {
              const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
              const future = kernel.requestExecute({ code, store_history: false });
              let text = "";
              future.onIOPub = ({ header, content }) => {
                if (header.msg_type === "stream") text += content.text;
                if (header.msg_type === "error") text += `${content.ename}: ${content.evalue}`;
              };
              await future.done;
              return text.trim();
            }""",
            code,
        )

    def kernel_says(self, code: str, wanted: str) -> None:
        """Wait until code prints this in the kernel: what is drawn gets there a moment later."""
        for _ in range(200):
            if (got := self.kernel(code)) == wanted:
                return
        raise AssertionError(f"{code} prints {got}, not {wanted}")

    def wait_until_busy(self) -> None:
        """Wait for what the cell of `busy_until` prints: a busy kernel's status may read idle, between two cells or
        after a debugger's request, which is answered beside the cell that runs."""
        self.page.wait_for_selector(".jp-OutputArea-output:has-text('busy now')")

    def loaded(self, count: int = 1) -> None:
        """Wait until this many viewers have all their data."""
        self.page.wait_for_function(f"document.querySelectorAll('.mlv[data-loaded=all]').length === {count}")
        settle(self.page)

    def focus(self, pane: int = 0) -> None:
        self.page.locator(".mlv-pane").nth(pane).scroll_into_view_if_needed()
        self.page.locator(".mlv-pane").nth(pane).focus()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        settle(self.page)
