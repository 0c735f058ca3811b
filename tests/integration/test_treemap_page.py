"""The page of ``inspect --html`` in a real browser: what mouse and keyboard do, and what it shows of odd layers."""

from __future__ import annotations

import html
import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from phplayer import inspection, treemap
from tests.integration.test_extensions import installed

pytestmark = pytest.mark.slow

# It runs at once: by then the page has drawn itself.
SCRIPT = """
<script>
(() => {
  const map = document.querySelector(".map"), said = {};
  const trail = () => [...document.querySelectorAll("nav button")].map((each) => each.textContent);
  const note = (name) => { said[name] = {
    trail: trail(), label: map.getAttribute("aria-label"), focus: document.activeElement.className,
    tiles: map.querySelectorAll(".tile").length, text: map.textContent,
    stops: [...map.querySelectorAll("button")].filter((each) => each.tabIndex >= 0).length,
  }; };
  note("drawn");
  const folder = map.querySelector("button");
  if (folder) {
    folder.focus();
    folder.click();
    note("entered");
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    note("left");
  }
  document.title = JSON.stringify(said);
})();
</script>
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    """Return the browser's path, installed where it is missing."""
    return installed("chromium", "chromium")


def browse(chromium: str, folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    """Return what the page about a layer with these files says of itself after each step."""
    layer, page = folder / "layer.zip", folder / "page.html"
    with zipfile.ZipFile(layer, "w") as opened:
        for name, data in files.items():
            opened.writestr(zipfile.ZipInfo(name), data)
    text = treemap.page([inspection.read_zip(layer)])
    page.write_text(text.replace("</body>", f"{SCRIPT}</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"),
            *("--window-size=1280,900", "--dump-dom", page.as_uri()),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title is not None, done.stderr
    said: dict[str, Any] = json.loads(html.unescape(title[1]))
    return said


def test_after_a_click_the_keyboard_goes_on_and_escape_goes_back(chromium: str, tmp_path: Path) -> None:
    files = {f"vendor/v{i}/p{j}/A.php": b"x" * 999 for i in range(5) for j in range(9)}
    said = browse(chromium, tmp_path, files | {"bin/php": b"p" * 9999})
    assert said["drawn"]["trail"] == ["layer.zip"]
    assert said["drawn"]["stops"] == 2, "Tab stops at the folders of this one, not at all of the page"
    assert said["entered"]["trail"] == ["layer.zip", "vendor/"]
    assert said["entered"]["focus"] == "map"
    assert said["entered"]["label"].startswith("Treemap of vendor/, 45.0 kB zipped")
    assert said["entered"]["stops"] == 5
    assert (said["left"]["trail"], said["left"]["focus"]) == (["layer.zip"], "map")


@pytest.mark.parametrize("files", [{}, {"a/b": b"", "c": b""}])
def test_a_layer_without_a_byte_says_so(chromium: str, tmp_path: Path, files: dict[str, bytes]) -> None:
    said = browse(chromium, tmp_path, files)
    assert (said["drawn"]["tiles"], said["drawn"]["text"]) == (0, "There is no byte in it.")


def test_names_are_text_and_twenty_thousand_files_are_drawn(chromium: str, tmp_path: Path) -> None:
    names = ("<script>document.title='x'<\\script>", "<img src=x onerror=alert(1)>", "__proto__", "${1}{{ 2 }}")
    files = {f"d/{number}": b"x" * 500 for number in range(20_000)} | dict.fromkeys(names, b"x" * 300_000)
    said = browse(chromium, tmp_path, files)
    assert said["drawn"]["tiles"] > 1000
    assert [name for name in names if name not in said["drawn"]["text"]] == []
