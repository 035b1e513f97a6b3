"""docker-compose.yml keeps to the Compose specification: keys and forms by our own list, so that a slip is not ignored.

Docker itself is not needed. What the commands do is tried by the tests that run them without containers.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
DURATION = re.compile(r"([0-9]+(ms|s|m|h))+")
SIZE = re.compile(r"[0-9]+(b|k|kb|m|mb|g|gb)")

# Keys of a service that are used here, and their form. Compose refuses others only in its own schema check.
STRING_LISTS = ("command", "entrypoint", "cap_drop", "security_opt", "volumes", "ports", "profiles", "secrets")
STRINGS = ("image", "build", "user", "restart", "network_mode", "stop_grace_period", "mem_limit", "shm_size")
SHAPED = ("environment", "depends_on", "healthcheck", "configs", "init")
CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


def interpolated(text: str, values: dict[str, str]) -> str:
    """As Compose does it: `:-` and `:?` take blank for unset, `-` and `?` do not."""

    def one(found: re.Match[str]) -> str:
        name, colon, kind, rest = found.groups()
        value = values.get(name)
        if value is None or (colon and not value):
            assert kind == "-", f"{name}: {rest}"
            return str(rest)
        return value

    return re.sub(r"\$\{(\w+)(:?)([-?])([^}]*)\}", one, text)


def deployed(values: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(interpolated(TEXT, values))
    return found


def env_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_top_level_holds_known_parts_and_names() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes", "configs", "secrets"}
    assert NAME.fullmatch(COMPOSE["name"])
    for part in ("services", "volumes", "configs", "secrets"):
        assert all(NAME.fullmatch(name) for name in COMPOSE[part]), part
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    assert all(set(config) == {"content"} for config in COMPOSE["configs"].values())


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_known_keys_in_their_form(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= {*STRING_LISTS, *STRINGS, *SHAPED}
    assert ("image" in service) or ("build" in service)
    for key in STRING_LISTS:
        assert all(isinstance(item, str) for item in service.get(key, [])), key
        assert isinstance(service.get(key, []), list), key
    assert all(isinstance(service.get(key, ""), str) for key in STRINGS)
    assert service.get("restart", "no") in ("no", "always", "unless-stopped", "on-failure")
    for key in ("mem_limit", "shm_size"):
        assert SIZE.fullmatch(service.get(key, "1g")), key
    assert "mem_limit" in service, "nothing may take the whole machine"
    # A number or a bare yes would reach the process as something else than was written.
    assert all(isinstance(value, str) for value in service.get("environment", {}).values())
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]
    for config in service.get("configs", []):
        assert set(config) == {"source", "target"}
        assert config["source"] in COMPOSE["configs"]
    for other, condition in service.get("depends_on", {}).items():
        assert set(condition) == {"condition"}
        assert condition["condition"] in CONDITIONS
        assert condition["condition"] != "service_healthy" or "healthcheck" in SERVICES[other], other
        assert condition["condition"] != "service_completed_successfully" or SERVICES[other]["restart"] == "no", other
        # A service of a profile may lean on the others, never the other way round.
        assert set(SERVICES[other].get("profiles", [])) <= set(service.get("profiles", [])), other
    if "network_mode" in service:
        host = service["network_mode"].removeprefix("service:")
        assert host in service["depends_on"]
        assert "ports" not in service
    check = service.get("healthcheck")
    if check is not None:
        assert set(check) <= {"test", "interval", "timeout", "retries", "start_period"}
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        assert isinstance(check["retries"], int)
        assert all(DURATION.fullmatch(check[key]) for key in ("interval", "timeout"))


def test_nothing_waits_in_a_circle() -> None:
    placed: list[str] = []
    while len(placed) < len(SERVICES):
        free = [
            name for name in SERVICES if name not in placed and set(SERVICES[name].get("depends_on", {})) <= {*placed}
        ]
        assert free, set(SERVICES) - {*placed}
        placed += free


def test_with_real_providers_the_addresses_must_be_given() -> None:
    with pytest.raises(AssertionError, match=r"set it in \.env"):
        deployed({})
    given = dict.fromkeys(("VIMA_BASE_URL", "PAYSHACK_PORTAL_URL", "PAYSHACK_API_URL"), "https://provider.example")
    real = deployed(given)
    variables = real["services"]["code-server"]["environment"]
    assert variables["VIMA_BASE_URL"] == "https://provider.example"
    assert variables["VIMA_API_KEY_FILE"] == "/run/secrets/vima_api_key"
    assert real["secrets"]["vima_api_key"]["file"] == "./secrets/vima_api_key"
    assert [name for name, service in SERVICES.items() if "sandbox" in service.get("profiles", [])] == [
        "sandbox-vima",
        "sandbox-payshack",
    ]


def test_with_the_sandbox_nothing_of_a_provider_is_set() -> None:
    values = env_file(ROOT / "docker-compose.sandbox.env")
    assert values["COMPOSE_PROFILES"] == "sandbox"
    invented = deployed(values)
    for name, service in invented["services"].items():
        told = {
            key: value for key, value in service.get("environment", {}).items() if key.startswith(("VIMA", "PAYSH"))
        }
        assert not any(told.values()), name
    for name in ("vima_api_key", "payshack_email", "payshack_password", "payshack_response_secret"):
        # Docker binds the file, so it has to be there.
        assert (ROOT / invented["secrets"][name]["file"]).is_file()
