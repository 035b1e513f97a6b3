"""The dbt project as an archive, kept with the first close that it decided: days can be built again by its rules."""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.errors import ClosingError

KEPT_SUFFIXES = frozenset({".sql", ".yml", ".csv", ".md"})
LEFT_OUT = frozenset({"target", "logs", "dbt_packages"})
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """Fingerprint of the rules, and where the project lies that they are of."""

    version: str
    project: Path

    def archive(self) -> bytes:
        """The project's files as tar.xz; the same files give the same bytes."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:xz", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(self.project.rglob("*")):
                relative = path.relative_to(self.project)
                if not path.is_file() or path.suffix not in KEPT_SUFFIXES or relative.parts[0] in LEFT_OUT:
                    continue
                entry = tarfile.TarInfo(relative.as_posix())
                entry.size = path.stat().st_size
                archive.addfile(entry, io.BytesIO(path.read_bytes()))
        return buffer.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Lay the project of an archive into an empty `folder`. Raises ClosingError when it is not what was archived."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:xz") as opened:
            members = opened.getmembers()
            if sum(member.size for member in members) > MAX_BYTES or not all(member.isreg() for member in members):
                raise tarfile.TarError("not an archive of ours")
            opened.extractall(folder, members=members, filter="data")
    except (tarfile.TarError, OSError, EOFError):
        raise ClosingError(
            "The rule book of the close cannot be unpacked.", fix="restore schema closing from a backup"
        ) from None
