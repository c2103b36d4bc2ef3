"""Opens a dashboard in a headless Chromium, waits until every chart is drawn, and prints what it shows as JSON.

    browser.py URL DASHBOARD CHARTS PICTURE      the password of admin comes on standard input

Run by the interpreter of Superset's virtual environment, which has selenium. Exit code 1: something was not drawn.
"""

from __future__ import annotations

import json
import sys
import time

import requests
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-proxy-server", "--window-size=1400,1080",
]  # fmt: skip
CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
DRAWN_TIMEOUT_S, POLL_S, ANIMATION_S, CALL_TIMEOUT_S = 180.0, 0.5, 2.0, 60.0
STATE = """
const charts = [...document.querySelectorAll('.dashboard-component-chart-holder')];
return {
  charts: charts.length,
  loading: document.querySelectorAll('.loading').length,
  drawn: charts.filter(c => c.querySelector('canvas, table tbody tr, .header-line')).length,
  failed: [...document.querySelectorAll('[role=alert], .ant-alert-error')].map(e => e.innerText),
  texts: charts.map(c => c.innerText),
};
"""


def main(url: str, dashboard: str, charts: int, picture: str) -> int:
    """The exit code."""
    password = sys.stdin.readline().strip()
    session = requests.Session()
    session.trust_env = False
    session.get(f"{url}/login/", timeout=CALL_TIMEOUT_S)
    session.post(f"{url}/login/", data={"username": "admin", "password": password}, timeout=CALL_TIMEOUT_S)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(f"{url}/health")
        for cookie in session.cookies:
            driver.add_cookie({"name": cookie.name, "value": str(cookie.value), "path": "/"})
        driver.get(f"{url}/superset/dashboard/{dashboard}/?standalone=1")
        state = wait_until_drawn(driver, charts)
        time.sleep(ANIMATION_S)
        driver.save_screenshot(picture)
    finally:
        driver.quit()
    sys.stdout.write(json.dumps(state))
    return 0 if state["drawn"] == state["charts"] == charts and not state["failed"] else 1


def wait_until_drawn(driver: webdriver.Chrome, charts: int) -> dict:
    """What the page shows when all is drawn, or when time is up."""
    deadline = time.monotonic() + DRAWN_TIMEOUT_S
    while True:
        state: dict = driver.execute_script(STATE)
        if (state["drawn"] == charts and not state["loading"]) or time.monotonic() > deadline:
            return state
        time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
