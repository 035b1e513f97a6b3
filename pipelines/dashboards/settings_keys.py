"""The keys that Metabase 0.63 reads in visualization settings, by display: a misspelt one would be ignored in silence.

Read from the front-end's source, which is also where three keys of the format's own specification are corrected:
`graph.label_value_frequency`, `graph.show_stack_values` total|all|series, `min_type`/`max_type` custom|all or absent.
"""

from collections.abc import Mapping

CHARTS = frozenset({"line", "bar", "area", "row", "waterfall"})
STACKED = frozenset({"bar", "area"})
DISPLAYS = CHARTS | {"table", "scalar", "smartscalar", "pie", "funnel"}
"""Displays that are used and drawn here. `pivot` is not among them: it does not work on a native query."""

_ANY = frozenset({"column_settings", "click_behavior", "card.title", "card.description", "card.hide_empty"})
_GRAPH = frozenset(
    [
        "graph.dimensions",
        "graph.metrics",
        "graph.show_values",
        "graph.label_value_frequency",
        "graph.show_stack_values",
        "graph.x_axis.title_text",
        "graph.x_axis.scale",
        "graph.x_axis.axis_enabled",
        "graph.x_axis.labels_enabled",
        "graph.y_axis.title_text",
        "graph.y_axis.scale",
        "graph.y_axis.auto_range",
        "graph.y_axis.auto_split",
        "graph.y_axis.min",
        "graph.y_axis.max",
        "graph.y_axis.axis_enabled",
        "graph.y_axis.labels_enabled",
        "graph.show_goal",
        "graph.goal_value",
        "graph.goal_label",
        "graph.show_trendline",
        "graph.series_order",
        "graph.max_categories_enabled",
        "graph.max_categories",
        "graph.other_category_aggregation_fn",
        "graph.tooltip_columns",
        "series_settings",
    ]
)
_STACK = frozenset({"stackable.stack_type"})
KEYS: Mapping[str, frozenset[str]] = {
    **{name: _ANY | _GRAPH | (_STACK if name in STACKED else frozenset()) for name in CHARTS - {"waterfall"}},
    "waterfall": _ANY
    | _GRAPH
    | {"waterfall.increase_color", "waterfall.decrease_color", "waterfall.total_color", "waterfall.show_total"},
    "table": _ANY
    | {"table.columns", "table.column_formatting", "table.pivot", "table.row_index", "table.column_widths"}
    | {"table.pagination"},
    "scalar": _ANY
    | {"scalar.field", "scalar.switch_positive_negative", "scalar.compact_primary_number", "scalar.segments"},
    "smartscalar": _ANY
    | {"scalar.field", "scalar.comparisons", "scalar.switch_positive_negative", "scalar.compact_primary_number"},
    "pie": _ANY
    | {"pie.dimension", "pie.metric", "pie.show_legend", "pie.show_total", "pie.percent_visibility"}
    | {"pie.slice_threshold", "pie.colors", "pie.sort_rows", "pie.decimal_places"},
    "funnel": _ANY | {"funnel.dimension", "funnel.metric", "funnel.type", "funnel.rows"},
    "heading": frozenset({"virtual_card", "text", "dashcard.background"}),
    "text": frozenset({"virtual_card", "text", "dashcard.background", "text.align_vertical", "text.align_horizontal"}),
    "link": frozenset({"virtual_card", "link"}),
}
COLUMN_KEYS = frozenset(
    [
        "column_title",
        "number_style",
        "currency",
        "currency_style",
        "currency_in_header",
        "number_separators",
        "decimals",
        "scale",
        "prefix",
        "suffix",
        "date_style",
        "date_separator",
        "date_abbreviate",
        "time_enabled",
        "time_style",
        "view_as",
        "link_text",
        "link_url",
        "text_align",
        "show_mini_bar",
        "text_wrapping",
        "click_behavior",
    ]
)
SERIES_KEYS = frozenset(
    [
        "title",
        "display",
        "color",
        "axis",
        "show_series_values",
        "line.style",
        "line.size",
        "line.interpolate",
        "line.missing",
        "line.marker_enabled",
    ]
)
FORMATTING_KEYS = frozenset(
    [
        "columns",
        "type",
        "operator",
        "value",
        "color",
        "highlight_row",
        "colors",
        "min_type",
        "min_value",
        "max_type",
        "max_value",
    ]
)
OPERATORS = frozenset(
    [
        "=",
        "!=",
        "<",
        ">",
        "<=",
        ">=",
        "is-null",
        "not-null",
        "contains",
        "does-not-contain",
        "starts-with",
        "ends-with",
        "is-true",
        "is-false",
    ]
)
COMPARISON_KEYS = frozenset({"id", "type", "value", "label", "column"})
COMPARISONS = frozenset({"previousPeriod", "previousValue", "periodsAgo", "staticNumber", "anotherColumn"})
CLICK_KEYS = frozenset(
    ["type", "linkType", "targetId", "tabId", "parameterMapping", "linkTemplate", "linkTextTemplate"]
)
CHOICES: Mapping[str, frozenset[object]] = {
    "stackable.stack_type": frozenset({None, "stacked", "normalized"}),
    "graph.label_value_frequency": frozenset({"fit", "all"}),
    "graph.show_stack_values": frozenset({"total", "all", "series"}),
    "graph.x_axis.scale": frozenset({"ordinal", "histogram", "timeseries", "linear", "pow", "log"}),
    "graph.y_axis.scale": frozenset({"linear", "pow", "log"}),
    "funnel.type": frozenset({"funnel", "bar"}),
    "pie.percent_visibility": frozenset({"off", "legend", "inside", "both"}),
    "scalar.compact_primary_number": frozenset({True, False}),
    "number_style": frozenset({"decimal", "percent", "scientific", "currency"}),
    "display": frozenset({"line", "area", "bar"}),
    "axis": frozenset({"left", "right"}),
    "line.style": frozenset({"solid", "dashed", "dotted"}),
    "line.missing": frozenset({"interpolate", "zero", "none"}),
}
"""Values of keys that are a choice; any other value would fall back in silence."""
