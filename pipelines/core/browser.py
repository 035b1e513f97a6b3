"""Finding and starting Chromium: a configured path, else a system one, else Playwright's own, else it is installed.

`python -m pipelines.core.browser` (part of `make install`) makes sure that one is there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from pipelines.core.errors import BrowserError
from pipelines.core.settings import Settings, load_settings

SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
USUAL_PLACES = (
    "/usr/bin/chromium",
    "/snap/bin/chromium",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
INSTALL_TIMEOUT_SECONDS = 600
QUIET_FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)


def find_browser(settings: Settings) -> Path | None:
    """Path of a Chromium that may be used, or None. Raises BrowserError when PSP_CHROMIUM names no program."""
    if settings.psp_chromium is not None:
        if not _is_program(settings.psp_chromium):
            raise BrowserError(
                f"PSP_CHROMIUM ({settings.psp_chromium}) is not a program.",
                fix="set it to the path of Chromium, or unset it to let the platform look for one",
            )
        return settings.psp_chromium
    for name in SYSTEM_NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    for place in USUAL_PLACES:
        if _is_program(Path(place)):
            return Path(place)
    with sync_playwright() as playwright:
        bundled = Path(playwright.chromium.executable_path)
    return bundled if bundled.exists() else None


def ensure_browser(settings: Settings, *, say: Callable[[str], None]) -> Path:
    """A Chromium, installed if need be. Raises BrowserError when none can be had."""
    found = find_browser(settings)
    if found is not None:
        return found
    say("Chromium is not here; asking Playwright for its own …")
    _try([sys.executable, "-m", "playwright", "install", "chromium"])
    found = find_browser(settings)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say("Playwright has none for this machine; installing Debian's Chromium …")
        _try(["apt-get", "update", "-qq"])
        _try(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"])
        found = find_browser(settings)
    if found is None:
        raise BrowserError(
            "Chromium is absent and could not be installed.",
            fix="install Chromium (Debian: apt-get install chromium) or set PSP_CHROMIUM to its path",
        )
    return found


@contextmanager
def open_browser(settings: Settings, *, headed: bool = False) -> Iterator[Browser]:
    """A running Chromium for the length of the block. Raises BrowserError when it is absent or does not start."""
    path = find_browser(settings)
    if path is None:
        raise BrowserError(
            "Chromium is absent.", fix="run `make install`, install Chromium, or set PSP_CHROMIUM to its path"
        )
    flags = list(QUIET_FLAGS)
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses its sandbox to root
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=str(path), headless=not headed, args=flags)
        except PlaywrightError as error:
            raise BrowserError(
                f"Chromium ({path}) does not start: {str(error).splitlines()[0]}.",
                fix="run it by hand to see why, or set PSP_CHROMIUM to another one",
            ) from None
        try:
            yield browser
        finally:
            # A browser that has died does not matter any more, and must not hide why the block ended.
            with suppress(PlaywrightError):
                browser.close()


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _try(command: list[str]) -> None:
    """Run an installer; whether it helped is seen by looking for the browser again."""
    program = shutil.which(command[0]) or command[0]
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603 - fixed commands
            [program, *command[1:]],
            check=False,
            timeout=INSTALL_TIMEOUT_SECONDS,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    try:
        sys.stdout.write(f"Chromium: {ensure_browser(load_settings(), say=lambda text: print(text, flush=True))}\n")  # noqa: T201
    except BrowserError as error:
        sys.exit(f"error: {error}")
