"""Unpacks wheels into a directory as pip would, less the paths that match a list of shell patterns.

Usage: unpack_wheels.py PATTERNS_FILE TARGET_DIR WHEEL...
"""

import fnmatch
import pathlib
import re
import shutil
import sys
import zipfile


def installed_path(member: str) -> str:
    """Where a wheel's member is installed below site-packages (binary distribution format, "the .data directory")."""
    return re.sub(r"^[^/]+\.data/(platlib|purelib)/", "", member)


def main() -> None:
    patterns_file, target, *wheels = sys.argv[1:]
    lines = pathlib.Path(patterns_file).read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                path = installed_path(member.filename)
                if member.is_dir() or any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
                    continue
                destination = pathlib.Path(target, path)
                destination.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, destination.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)


main()
