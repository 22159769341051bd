"""The page in a real browser: nothing fails, nothing overflows, what can be clicked works."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from phonaut.reports import write_report

MakeRun = Callable[..., Path]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FRAME = """<!doctype html>
<iframe src="{page}" style="border:0;width:{width}px;height:3000px"></iframe>
<pre id="result"></pre>
<script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {{
  const page = frame.contentDocument;
  let result;
  try {{ result = (() => {{ {script} }})(); }} catch (error) {{ result = String(error); }}
  document.getElementById("result").textContent = JSON.stringify(result);
}});
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]


def browse(page: Path, script: str, *, width: int = 1280, dark: bool = False) -> tuple[object, list[str]]:
    """What `script` returns of a page in a frame of this width, and what the console said."""
    assert CHROMIUM is not None
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(page=page.as_uri(), width=width, script=script), encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
            f"--user-data-dir={page.parent / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--window-size={max(width, 500)},3000",
            "--virtual-time-budget=3000",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(unescape(found[1])), console


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_it_fits_its_window_in_its_theme_and_the_console_is_silent(make_run: MakeRun, width: int, dark: bool) -> None:
    script = """
      const style = frame.contentWindow.getComputedStyle(page.body);
      return [page.documentElement.scrollWidth, style.backgroundColor, page.querySelectorAll("img").length,
              [...page.images].every((image) => image.naturalWidth > 0)];
    """
    (found, console) = browse(write_report(make_run(20)), script, width=width, dark=dark)
    assert found == [width, "rgb(15, 19, 24)" if dark else "rgb(255, 255, 255)", 12, True]
    assert console == []


def test_columns_sort_scripts_of_users_do_not_run_and_the_command_can_be_copied(make_run: MakeRun) -> None:
    script = """
      const table = page.querySelector("#classes table");
      const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
      const button = table.tHead.rows[0].cells[1].querySelector("button");
      button.click();
      const upward = names();
      button.click();
      const state = button.parentElement.getAttribute("aria-sort");
      return [page.title, upward, names(), state, page.querySelector("[data-copy]").hidden];
    """
    (title, upward, downward, state, hidden), console = browse(write_report(make_run(20)), script)  # type: ignore[misc]
    assert title == "tc-res8 on clips · 84.8 %"
    assert upward[-1] == "never said"
    assert upward[-3:-1] == ["لا", "go"]
    assert set(downward[:2]) == {"لا", "go"}
    assert downward[-1] == "never said"
    assert state == "descending"
    assert hidden is False
    assert console == []
