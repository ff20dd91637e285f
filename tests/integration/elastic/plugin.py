"""Compiles stand-ins for what the minimal node lacks, and puts them among its plugins."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

SET_FIELD = "SetField"
KEY_STORE_ANALYSIS = "KeyStoreAnalysis"
RELEASE = "21"


def install_plugin(root: Path, java: Path, version: str, name: str) -> None:
    """Build a plugin against the jars of an unpacked node, and install it there."""
    classes = root / "plugin-classes" / name
    subprocess.run(
        [
            str(java / "bin" / "javac"),
            "--release",
            RELEASE,
            "-cp",
            f"{root / 'lib'}/*",
            "-d",
            str(classes),
            str(Path(__file__).with_name(f"{name}.java")),
        ],
        check=True,
        capture_output=True,
    )
    home = root / "plugins" / name
    home.mkdir(parents=True)
    with zipfile.ZipFile(home / f"{name}.jar", "w") as jar:
        for path in sorted(classes.rglob("*.class")):
            jar.write(path, path.relative_to(classes).as_posix())
    lines = {
        "name": name,
        "description": "a stand-in for tests",
        "version": "1",
        "classname": f"io.vedette.test.{name}",
        "java.version": RELEASE,
        "elasticsearch.version": version,
    }
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    (home / "plugin-descriptor.properties").write_text(text)
