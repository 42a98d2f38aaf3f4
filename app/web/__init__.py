"""The web app and the API: the published snapshot as pages and as JSON, CSV, Arrow and Parquet.

    questions.py    what can be asked of the public views, with which filters; API and pages ask the same
    queries.py      the SQL of the pages' summaries
    answering.py    one edition a request, ETag, cache, compression, headers
    api.py          /api/v1                        formats.py   JSON, CSV, Arrow, Parquet
    pages.py        the pages                      today.py, symbol.py, scores.py, models.py, health.py,
    runs.py   what they show
    charts.py       charts as plain values         chart_png.py, svg.py   as pictures; static/charts.js draws them with Plotly
    starting.py     POST /api/v1/runs              calendars.py what the exchanges' calendars expect by now

Imports neither prefect, tensorflow nor pandas.
"""
