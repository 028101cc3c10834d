"""Runs a link command; when a memory region overflows, says by how much and what size of model would fit.

    python link.py BOARD MODEL_DIR COMMAND...

MODEL_DIR is the generated model's folder (tests have none). Output and exit status are the linker's.
"""

import re
import subprocess
import sys
from pathlib import Path

REGION = re.compile(r"^\s*(\w+):\s+(\d+) (B|KB|MB|GB)\s+(\d+) (B|KB|MB|GB)\s", re.M)
UNIT = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
OVERFLOW = re.compile(r"region `(\w+)' overflowed by (\d+) bytes?")


def model_bytes(model_dir: Path, what: str) -> int:
    """What the generated header gives as ..._WEIGHTS_BYTES or ..._ARENA_BYTES; 0 without a model."""
    for header in sorted(model_dir.glob("include/*.h")):
        found = re.search(rf"^#define \w+_{what}_BYTES (\d+)u", header.read_text(encoding="utf-8"), re.M)
        if found:
            return int(found[1])
    return 0


def explain(board: str, region: str, excess: int, region_size: int, model_dir: Path) -> str:
    """One line on the overflow of `region` by `excess` bytes."""
    line = f"error: {board}: {region} is too small by {excess} bytes"
    if region_size:
        line += f" (needs {region_size + excess}, has {region_size})"
    ram = "FLASH" not in region.upper()
    part = "activation arena" if ram else "weights"
    now = model_bytes(model_dir, "ARENA" if ram else "WEIGHTS")
    if not now:
        return line
    if now <= excess:
        return f"{line}; no model fits: its {part} take only {now} bytes of it"
    advice = "fewer filters" if ram else "fewer filters or a narrower type"
    return (
        f"{line}; a model with at most {now - excess} bytes of {part} fits, this one has {now}: take {advice}"
    )


def main(board: str, model_dir: str, *command: str) -> int:
    done = subprocess.run(command, capture_output=True, text=True)
    sizes = {name: int(size) * UNIT[unit] for name, _, _, size, unit in REGION.findall(done.stdout)}
    print(re.sub(r"^Memory region .*\n|" + REGION.pattern + r".*\n", "", done.stdout, flags=re.M), end="")
    sys.stderr.write(done.stderr)
    for region, excess in OVERFLOW.findall(done.stderr):
        print(explain(board, region, int(excess), sizes.get(region, 0), Path(model_dir)), file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
