"""A page: navigation, filters, the grid of cards; style and script are inside, nothing is fetched.

    View -> HTML text

Behind a server the filters are a form; as a file they are told, because a file cannot ask the marts.
"""

from html import escape
from importlib import resources
from itertools import groupby

from pipelines.dashboards.entities import Content, Dashboard
from pipelines.dashboards.preview import figures, tables
from pipelines.dashboards.preview.charts import Drawing
from pipelines.dashboards.preview.view import PRESETS, Addresses, Filter, Tile, View, told

WIDTH, GAP, ROW = 1200, 14, 40
"""The grid in pixels as charts are drawn; the page scales them."""

HEAD, PADDING = 44, 28


def page(view: View, addresses: Addresses, *, served: bool, refresh: int | None = None) -> str:
    """The whole page of a dashboard."""
    board = view.dashboard
    tabs: list[tuple[str, str | None]] = [(tab.name, tab.entity_id) for tab in board.tabs] or [("", None)]
    grids = []
    for name, tab in tabs:
        tiles = [_tile(view, tile, addresses) for tile in view.tiles if tile.place.tab_id == tab]
        title = f'<h2 class="tab">{escape(name)}</h2>' if name else ""
        grids.append(f'{title}<section class="grid">{"".join(tiles)}</section>')
    now = view.now.astimezone(view.zone)
    body = (
        f"<header><div><p class=trail>{escape(' / '.join(view.content.trail(board.collection_id)))}</p>"
        f"<h1>{escape(board.name)}</h1><p class=about>{escape(board.description)}</p></div>"
        f'<p class="clock">{now:%d %b %Y %H:%M}<br><span>{escape(str(view.zone))}</span></p></header>'
        f"{_filters(view, served)}{''.join(grids)}"
    )
    return document(view.content, board, board.name, body, addresses, refresh=refresh)


def index(content: Content, addresses: Addresses) -> str:
    """The list of all dashboards."""
    parts = [
        "<header><div><p class=trail>PSP</p><h1>Dashboards</h1>"
        "<p class=about>Drawn from the files in git, with real results.</p></div></header>"
    ]
    for trail, boards in groupby(content.ordered(), key=lambda item: content.trail(item.collection_id)):
        parts.append(f"<h2 class=tab>{escape(trail[-1])}</h2><section class=shelf>")
        for board in boards:
            count = sum(1 for place in board.dashcards if place.card_id)
            parts.append(
                f'<a class="board" href="{escape(addresses.page(board.slug))}"><b>{escape(board.name)}</b>'
                f"<span>{escape(board.description)}</span><small>{count} cards · "
                f"{len(board.parameters)} filters</small></a>"
            )
        parts.append("</section>")
    return document(content, None, "Dashboards", "".join(parts), addresses)


def document(
    content: Content,
    current: Dashboard | None,
    title: str,
    body: str,
    addresses: Addresses,
    *,
    refresh: int | None = None,
) -> str:
    """Body with navigation, style and script."""
    renewed = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{renewed}'
        f"<title>{escape(title)} · PSP</title><style>{asset('page.css')}</style></head><body>"
        f"{_navigation(content, current, addresses)}<main>{body}</main>"
        f'<div id="tip" role="tooltip"></div><script>{asset("page.js")}</script></body></html>'
    )


def asset(name: str) -> str:
    """A file that goes into the page."""
    return resources.files("pipelines.dashboards.preview").joinpath(name).read_text(encoding="utf-8")


def _navigation(content: Content, current: Dashboard | None, addresses: Addresses) -> str:
    home = addresses.page("index") if addresses.suffix else addresses.prefix
    parts = [f'<nav><a class="brand" href="{escape(home)}"><i></i>PSP</a>']
    for trail, boards in groupby(content.ordered(), key=lambda item: content.trail(item.collection_id)):
        parts.append(f"<h3>{escape(trail[-1] if trail else '')}</h3>")
        for board in boards:
            here = ' aria-current="page"' if current is not None and board.entity_id == current.entity_id else ""
            parts.append(f'<a href="{escape(addresses.page(board.slug))}"{here}>{escape(board.name)}</a>')
    return "".join([*parts, "</nav>"])


def _filters(view: View, served: bool) -> str:
    if not view.filters:
        return ""
    if not served:
        chips = "".join(
            f"<span class=chip><b>{escape(item.parameter.name)}</b> {escape(told(item))}</span>"
            for item in view.filters
        )
        return f'<div class="filters">{chips}</div>'
    fields = "".join(_period(item) if _is_date(item) else _choice(item) for item in view.filters)
    changed = any(item.values != tuple(map(str, item.parameter.defaults)) for item in view.filters)
    reset = '<a class="reset" href="?">Reset</a>' if changed else ""
    return f'<form class="filters" method="get">{fields}<button>Apply</button>{reset}</form>'


def _is_date(item: Filter) -> bool:
    return item.parameter.type.startswith("date/")


def _period(item: Filter) -> str:
    value = item.values[0] if item.values else ""
    known = [*PRESETS, *([] if value in dict(PRESETS) or not value else [(value, value)])]
    options = "".join(
        f'<option value="{escape(key)}"{" selected" if key == value else ""}>{escape(text)}</option>'
        for key, text in (("", "Any time"), *known)
    )
    slug = escape(item.parameter.slug)
    return (
        f'<label class="field"><span>{escape(item.parameter.name)}</span>'
        f'<select name="{slug}">{options}</select></label>'
    )


def _choice(item: Filter) -> str:
    name, slug = escape(item.parameter.name), escape(item.parameter.slug)
    if item.choices is None:
        value = escape(", ".join(item.values))
        return (
            f'<label class="field"><span>{name}</span><input name="{slug}" value="{value}" placeholder="any"></label>'
        )
    boxes = "".join(
        f'<label><input type="checkbox" name="{slug}" value="{escape(value)}"'
        f"{' checked' if value in item.values else ''}>{escape(value)}</label>"
        for value in item.choices
    )
    on = " on" if item.values else ""
    # Without the empty value an address in which nothing is chosen would mean the default.
    return (
        f'<details class="field{on}"><summary><span>{name}</span>{escape(told(item))}</summary>'
        f'<input type="hidden" name="{slug}" value=""><div>{boxes or "nothing to choose"}</div></details>'
    )


def _tile(view: View, tile: Tile, addresses: Addresses) -> str:
    place = tile.place
    area = f"grid-area:{place.row + 1}/{place.col + 1}/span {place.size_y}/span {place.size_x}"
    if tile.card is None:
        inner = figures.heading(tile.settings) if place.virtual == "heading" else figures.text(tile.settings)
        return f'<div class="plain" style="{area}">{inner}</div>'
    card = tile.card
    title = escape(str(tile.settings.get("card.title") or card.name))
    about = (
        f'<span class="about" tabindex="0" data-tip="{escape(card.description)}">?</span>' if card.description else ""
    )
    whole = view.link(tile, None, {}, addresses)
    if whole and card.display != "table":
        title = f'<a href="{escape(whole)}">{title}</a>'
    return (
        f'<article class="card is-{card.display}" style="{area}"><h4>{title}{about}</h4>'
        f'<div class="body">{_body(view, tile, addresses)}</div></article>'
    )


def _body(view: View, tile: Tile, addresses: Addresses) -> str:
    card, result = tile.card, tile.result
    if card is None or result is None or not result.rows:
        return _empty(view, tile)
    if card.display == "table":
        return tables.table(
            tile.settings, result, view.zone, lambda column, row: view.link(tile, column, row, addresses)
        )
    if card.display == "scalar":
        return figures.scalar(tile.settings, result, view.zone)
    if card.display == "smartscalar":
        return figures.smart_scalar(tile.settings, result, view.zone)
    if card.display == "funnel":
        return figures.funnel(tile.settings, result, view.zone) or _empty(view, tile)
    width = int(tile.place.size_x * (WIDTH + GAP) / 24 - GAP) - PADDING
    height = tile.place.size_y * (ROW + GAP) - GAP - HEAD - 12
    return Drawing(tile.settings, result, view.zone, width, height).svg(card.display)


def _empty(view: View, tile: Tile) -> str:
    """Nothing, why, and what would be here."""
    about = f"<small>{escape(tile.card.description)}</small>" if tile.card and not tile.problem else ""
    return f'<p class="empty">{escape(view.why_empty(tile))}{about}</p>'
