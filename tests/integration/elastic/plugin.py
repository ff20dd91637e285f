"""Compiles what the minimal node lacks to store API keys, and puts it among its plugins."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

SOURCE = Path(__file__).with_name("KeyStoreAnalysis.java")
CLASS = "io.vedette.test.KeyStoreAnalysis"
RELEASE = "21"


def install_plugin(root: Path, java: Path, version: str) -> None:
    """Build the plugin against the jars of an unpacked node, and install it there."""
    classes = root / "plugin-classes"
    subprocess.run(
        [
            str(java / "bin" / "javac"),
            "--release",
            RELEASE,
            "-cp",
            f"{root / 'lib'}/*",
            "-d",
            str(classes),
            str(SOURCE),
        ],
        check=True,
        capture_output=True,
    )
    home = root / "plugins" / "vedette-test"
    home.mkdir(parents=True)
    with zipfile.ZipFile(home / "vedette-test.jar", "w") as jar:
        for path in sorted(classes.rglob("*.class")):
            jar.write(path, path.relative_to(classes).as_posix())
    lines = {
        "name": "vedette-test",
        "description": "analysis that the index of API keys asks for",
        "version": "1",
        "classname": CLASS,
        "java.version": RELEASE,
        "elasticsearch.version": version,
    }
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    (home / "plugin-descriptor.properties").write_text(text)
