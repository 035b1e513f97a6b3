"""Dashboards drawn without Metabase: the same files, real results, one self-contained HTML page per dashboard.

    Dashboard, query parameters -> view.py: values, rows -> page.py: HTML
                                      charts.py (Altair, vl-convert: SVG), tables.py, figures.py
    page.html -> png.py (Chromium)

Nothing is fetched: styles and the small script are in the page, charts are SVG.
"""
