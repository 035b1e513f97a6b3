"""The keys that the representation format gives each entity, as far as they are used here; others are refused."""

COLLECTION_KEYS = frozenset(
    [
        "name",
        "entity_id",
        "description",
        "slug",
        "archived",
        "type",
        "namespace",
        "authority_level",
        "parent_id",
        "created_at",
        "serdes/meta",
    ]
)
CARD_KEYS = frozenset(
    [
        "name",
        "entity_id",
        "description",
        "display",
        "creator_id",
        "collection_id",
        "database_id",
        "type",
        "parameters",
        "parameter_mappings",
        "query_type",
        "dataset_query",
        "visualization_settings",
        "created_at",
        "serdes/meta",
    ]
)
DASHBOARD_KEYS = frozenset(
    [
        "name",
        "entity_id",
        "description",
        "creator_id",
        "collection_id",
        "collection_position",
        "width",
        "auto_apply_filters",
        "parameters",
        "tabs",
        "dashcards",
        "created_at",
        "serdes/meta",
    ]
)
DASHCARD_KEYS = frozenset(
    [
        "entity_id",
        "card_id",
        "dashboard_tab_id",
        "row",
        "col",
        "size_x",
        "size_y",
        "parameter_mappings",
        "series",
        "visualization_settings",
        "created_at",
        "serdes/meta",
    ]
)
PARAMETER_KEYS = frozenset(
    [
        "id",
        "name",
        "slug",
        "type",
        "default",
        "required",
        "sectionId",
        "values_query_type",
        "values_source_type",
        "values_source_config",
        "isMultiSelect",
    ]
)
TAG_KEYS = frozenset(
    ["type", "name", "id", "display-name", "default", "required", "dimension", "widget-type", "options", "alias"]
)
MAPPING_KEYS = frozenset(["card_id", "parameter_id", "target"])
