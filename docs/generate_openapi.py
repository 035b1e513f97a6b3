"""Write docs/openapi.json from the sidecar, so that the document cannot say something else than the program.

    python docs/generate_openapi.py            write it
    python docs/generate_openapi.py --check    say whether it is up to date; exit code 1 when it is not

When a change of it makes a caller change, add a line to "Changes for callers" in docs/sidecar.md.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.core.settings import load_settings
from pipelines.sidecar.app import create_app

DOCUMENT = Path(__file__).resolve().parent / "openapi.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the document; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    checking = parser.parse_args(arguments).check
    text = json.dumps(create_app(load_settings({})).openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if not checking:
        DOCUMENT.write_text(text, encoding="utf-8")
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(
        "docs/openapi.json does not say what the sidecar says. Fix: run `python docs/generate_openapi.py`\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
