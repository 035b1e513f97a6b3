"""What a process that runs dbt many times must not pay for."""

from dbt.adapters.base.impl import DEFAULT_BASE_BEHAVIOR_FLAGS

from pipelines.defs.model.dbt_runner import dbt_runner


def test_a_flag_is_kept_once_however_many_adapters_have_told_of_it() -> None:
    before = {flag["name"] for flag in DEFAULT_BASE_BEHAVIOR_FLAGS}
    for _ in range(3):
        # As each adapter that dbt makes does.
        DEFAULT_BASE_BEHAVIOR_FLAGS.append({"name": "psp_test_flag", "default": False, "docs_url": ""})
        dbt_runner()
    try:
        assert sorted(flag["name"] for flag in DEFAULT_BASE_BEHAVIOR_FLAGS) == sorted(before | {"psp_test_flag"})
    finally:
        DEFAULT_BASE_BEHAVIOR_FLAGS[:] = [f for f in DEFAULT_BASE_BEHAVIOR_FLAGS if f["name"] != "psp_test_flag"]
