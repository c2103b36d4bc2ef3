"""`make dashboard`: Apache Superset on a simulated workspace, its charts checked against plain SQL, and a picture.

charts    the charts, each with the plain SQL that must give the same numbers
superset  installs and runs Superset, and makes database, datasets, charts and dashboard through its API
checks    what a chart asked of the App API, and whether its numbers are right
browser   a headless Chromium, in Superset's own virtual environment
"""
