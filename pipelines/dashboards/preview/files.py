"""Pages as files: every dashboard as HTML, and as PNG through Chromium, for a review without a server."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipelines.core.browser import open_browser
from pipelines.core.errors import DashboardError
from pipelines.core.settings import Settings
from pipelines.dashboards.entities import Content, Dashboard
from pipelines.dashboards.preview.page import index, page
from pipelines.dashboards.preview.view import Addresses, View
from pipelines.dashboards.warehouse import reading

PAGES = Addresses(suffix=".html")
DESKTOP = (1440, 900)
Told = Callable[[str], None]


def write_pages(
    settings: Settings,
    content: Content,
    folder: Path,
    *,
    slugs: Sequence[str] = (),
    values: Mapping[str, Sequence[str]],
    say: Told,
) -> list[Path]:
    """HTML files of the dashboards and an index. `values` go to every dashboard that has a filter of that slug."""
    boards = [content.dashboard(slug) for slug in slugs] or content.ordered()
    known = {item.slug for board in boards for item in board.parameters}
    unknown = sorted(set(values) - known)
    if unknown:
        raise DashboardError(f"No dashboard has a filter {', '.join(unknown)}.", fix=f"use {', '.join(sorted(known))}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with reading(settings) as connection:
        for board in boards:
            say(board.name)
            view = View(connection, settings, content, board, _of(board, values))
            path = folder / f"{board.slug}.html"
            path.write_text(page(view, PAGES, served=False), encoding="utf-8")
            written.append(path)
    (folder / "index.html").write_text(index(content, PAGES), encoding="utf-8")
    return written


def _of(board: Dashboard, values: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    slugs = {item.slug for item in board.parameters}
    return {slug: found for slug, found in values.items() if slug in slugs}


def write_pictures(settings: Settings, pages: Sequence[Path], *, say: Told) -> list[Path]:
    """A PNG beside each page, as a desktop shows it, in its whole height. Raises BrowserError without a Chromium."""
    written = []
    with open_browser(settings) as browser:
        sheet = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
        for path in pages:
            say(path.stem)
            sheet.goto(path.resolve().as_uri())
            # The navigation is as high as the window; the picture is as high as the page.
            sheet.add_style_tag(content="nav{height:auto!important;position:static!important}")
            target = path.with_suffix(".png")
            sheet.screenshot(path=str(target), full_page=True)
            written.append(target)
    return written
