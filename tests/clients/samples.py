"""What BI tools write for date filters and group-bys, in their forms, about the tables here.

    Sample("tableau", "a month", "select …", last_month)    {day}, {month} and the like are filled in later

The last column of the rows is a count.

Where the forms were seen. Metabase: issues 15275, 20333, 21133 and 26655 of metabase/metabase, its driver for
PostgreSQL, and questions that others published. Tableau and Power BI: the query logs that the SQL API of cube-js/cube
is tested with (rust/cubesql/cubesql/src/compile/mod.rs), and those in Adobe's guide to the BI extension of Customer
Journey Analytics. Grafana: its macros, grafana/grafana#9209 and later. Superset: recorded by tools/dashboard
(docs/dashboards.md). The statements are written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Callable

Bounds = tuple[datetime, datetime]
"""From, inclusive, and to, exclusive."""


Values = dict[str, tuple[object, ...]]
"""Column and the values that a filter wants of it."""

FOREVER = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Sample:
    """A statement, which times it is about, and what else of it reaches the API."""

    tool: str
    shape: str
    query: str
    bounds: Callable[[datetime], Bounds]
    pushed: Values = field(default_factory=dict)
    kept: Values = field(default_factory=dict)
    """By PostgreSQL: of a list that would cost more requests than it saves."""

    def __str__(self) -> str:
        return f"{self.tool}: {self.shape}"


def midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def day(now: datetime) -> Bounds:
    """A day that is surely past and surely kept."""
    first = midnight(now) - timedelta(days=40)
    return first, first + timedelta(days=1)


def day_to_its_last_second(now: datetime) -> Bounds:
    first, after = day(now)
    return first, after - timedelta(microseconds=1)


def today(now: datetime) -> Bounds:
    return midnight(now), midnight(now) + timedelta(days=1)


def last_30_days(now: datetime) -> Bounds:
    return midnight(now) - timedelta(days=30), midnight(now)


def last_30_days_and_today(now: datetime) -> Bounds:
    return midnight(now) - timedelta(days=30), midnight(now) + timedelta(days=1)


def a_week_before_that(now: datetime) -> Bounds:
    return midnight(now) - timedelta(days=37), midnight(now) - timedelta(days=7)


def last_month(now: datetime) -> Bounds:
    this = midnight(now).replace(day=1)
    return (this - timedelta(days=1)).replace(day=1), this


def since_last_month(now: datetime) -> Bounds:
    return last_month(now)[0], FOREVER


def week(now: datetime) -> Bounds:
    """Seven days from a Sunday, which is the first day of the week in America."""
    first, _ = day(now)
    sunday = first - timedelta(days=(first.weekday() + 1) % 7)
    return sunday, sunday + timedelta(days=7)


def day_in_tokyo(now: datetime) -> Bounds:
    first, after = day(now)
    return first - timedelta(hours=9), after - timedelta(hours=9)


def last_year(now: datetime) -> Bounds:
    """Older than what is kept, from July on: then nothing is asked."""
    this = midnight(now).replace(month=1, day=1)
    return this.replace(year=this.year - 1), this


def fill(query: str, now: datetime) -> str:
    """The statement with the times in the form that literals have: 2026-10-05."""
    (first, after), (from_month, to_month), (sunday, _) = day(now), last_month(now), week(now)
    return query.format(
        day=f"{first:%Y-%m-%d}",
        end=f"{after:%Y-%m-%d}",
        month=f"{from_month:%Y-%m-%d}",
        month_end=f"{to_month:%Y-%m-%d}",
        sunday=f"{sunday:%Y-%m-%d}",
        year=now.year - 1,
        month_of_year=first.month,
        hour=7,
    )


CREATED = '"customerio"."messages"."created"'
TABLE = '"customerio"."messages"'
EMAIL: Values = {"type": ("email",)}
EMAIL_AND_PUSH: Values = {"type": ("email", "push")}


def metabase(shape: str, where: str, bounds: Callable[[datetime], Bounds], bucket: str = "", **more: object) -> Sample:
    """A question of the query builder: count by a unit of time."""
    bucket = bucket or f"CAST({CREATED} AS date)"
    query = (
        f'SELECT {bucket} AS "created", COUNT(*) AS "count" FROM {TABLE} WHERE {where} '
        f"GROUP BY {bucket} ORDER BY {bucket} ASC"
    )
    return Sample("metabase", shape, query, bounds, **more)  # type: ignore[arg-type]


def tableau(shape: str, where: str, bounds: Callable[[datetime], Bounds], **more: object) -> Sample:
    """A sheet: a month on the columns, the number of records on the rows."""
    query = (
        'SELECT DATE_TRUNC( \'MONTH\', CAST("messages"."created" AS TIMESTAMP) ) AS "tmn:created:ok", '
        f'COUNT(1) AS "cnt:messages:ok" FROM {TABLE} "messages" WHERE {where} GROUP BY 1 HAVING (COUNT(1) > 0)'
    )
    return Sample("tableau", shape, query, bounds, **more)  # type: ignore[arg-type]


def power_bi(shape: str, rows: str, bounds: Callable[[datetime], Bounds], by: str = "type", **more: object) -> Sample:
    """A visual on DirectQuery: what is grouped in the middle, blank sums dropped outside."""
    query = (
        f'select "_"."{by}", "_"."a0" from (select "rows"."{by}" as "{by}", count(1) as "a0" from ({rows}) "rows" '
        f'group by "{by}") "_" where not "_"."a0" is null limit 1000001'
    )
    return Sample("power bi", shape, query, bounds, **more)  # type: ignore[arg-type]


AGO = "CAST(CAST((NOW() + INTERVAL '-30 day') AS date) AS timestamptz)"
TODAY = "CAST(CAST(NOW() AS date) AS timestamptz)"
UTC_DAY = "timestamp with time zone '{day} 00:00:00.000Z'"
UTC_END = "timestamp with time zone '{end} 00:00:00.000Z'"
SUNDAY_WEEK = f"(CAST(DATE_TRUNC('week', ({CREATED} + INTERVAL '1 day')) AS timestamptz) + INTERVAL '-1 day')"
TOKYO = f"timezone('Asia/Tokyo', {CREATED})"

METABASE = [
    metabase("between two times", f"({CREATED} >= {UTC_DAY}) AND ({CREATED} < {UTC_END})", day),
    metabase("previous 30 days", f"({CREATED} >= {AGO}) AND ({CREATED} < {TODAY})", last_30_days,
             f"CAST(CAST({CREATED} AS date) AS timestamptz)"),
    metabase("previous 30 days, dates", f"({CREATED} >= CAST((NOW() + INTERVAL '-30 day') AS date) "
             f"AND {CREATED} < CAST(NOW() AS date))", last_30_days),
    metabase("previous 30 days and today, on the date", f"CAST({CREATED} AS date) BETWEEN "
             "CAST((NOW() + INTERVAL '-30 day') AS date) AND CAST(now() AS date)", last_30_days_and_today),
    metabase("starting from 7 days ago", f"({CREATED} >= ({AGO} + INTERVAL '-7 day')) "
             f"AND ({CREATED} < ({TODAY} + INTERVAL '-7 day'))", a_week_before_that),
    metabase("previous month", f"({CREATED} >= DATE_TRUNC('month', (NOW() + INTERVAL '-1 month'))) "
             f"AND ({CREATED} < DATE_TRUNC('month', NOW()))", last_month, f"DATE_TRUNC('month', {CREATED})"),
    metabase("today", f"CAST({CREATED} AS date) = CAST(now() AS date)", today),
    metabase("field filter on the date", f"CAST({CREATED} AS date) BETWEEN {UTC_DAY} AND {UTC_DAY}", day),
    metabase("a bar of a month", f"DATE_TRUNC('month', {CREATED}) = timestamp with time zone '{{month}} 00:00:00.000Z'",
             last_month, f"DATE_TRUNC('month', {CREATED})"),
    metabase("a bar of a week from Sunday", f"{SUNDAY_WEEK} = timestamp with time zone '{{sunday}} 00:00:00.000Z'",
             week, SUNDAY_WEEK),
    metabase("weeks from Sunday on", f"{SUNDAY_WEEK} >= timestamp with time zone '{{sunday}} 00:00:00.000Z' "
             f"AND {SUNDAY_WEEK} < timestamp with time zone '{{sunday}} 00:00:00.000Z' + INTERVAL '7 day'",
             week, SUNDAY_WEEK),
    metabase("converted time zone", f"({TOKYO} >= timestamp '{{day}} 00:00:00') "
             f"AND ({TOKYO} < timestamp '{{end}} 00:00:00')", day_in_tokyo, f"CAST({TOKYO} AS date)"),
    metabase("year of era", f"CAST(extract(year from {CREATED}) AS integer) = {{year}}", last_year),
    metabase("and a type", f"({TABLE}.\"type\" = 'email') AND ({CREATED} >= {UTC_DAY}) "
             f"AND ({CREATED} < {UTC_END})", day, pushed=EMAIL),
]  # fmt: skip

X = '"messages"."created"'
TIMES = f"(({X} >= (TIMESTAMP '{{day}} 00:00:00.000')) AND ({X} < (TIMESTAMP '{{end}} 00:00:00.000')))"

TABLEAU = [
    tableau("relative dates", TIMES, day),
    tableau("range of dates", f"(({X} >= (DATE '{{day}}')) AND ({X} < (DATE '{{end}}')))", day),
    tableau("a month", f"(DATE_TRUNC( 'MONTH', CAST({X} AS TIMESTAMP) ) = (TIMESTAMP '{{month}} 00:00:00.000'))",
            last_month),
    tableau("a year", f"(CAST(TRUNC(EXTRACT(YEAR FROM {X})) AS INTEGER) = {{year}})", last_year),
    tableau("a date of a list", f"(CAST({X} AS DATE) IN ((DATE '{{day}}')))", day),
    tableau("since a constant month", f"({X} >= DATE_TRUNC( 'MONTH', CAST(CAST('{{month}}' AS DATE) AS TIMESTAMP) ))",
            since_last_month),
    tableau("a text dimension", f"((CAST(\"messages\".\"type\" AS TEXT) = 'email') AND {TIMES})", day, pushed=EMAIL),
    tableau("members of a number dimension", f"((\"messages\".\"campaign_id\" IN (3, 4)) AND {TIMES})", day,
            kept={"campaign_id": (3, 4)}),
    tableau("members of a text dimension", f"((\"messages\".\"type\" IN ('email', 'push')) AND {TIMES})", day,
            kept=EMAIL_AND_PUSH),
]  # fmt: skip

DATES = '"_"."created" < date \'{end}\' and "_"."created" >= date \'{day}\''
KEPT = 'select "_"."created", "_"."type", "_"."subject"'
YEAR_AND_MONTH = " || ('-' || ".join(
    f"(case when left(cast(extract({unit} from \"_\".\"created\") as varchar), 4000) is not null "
    f"then left(cast(extract({unit} from \"_\".\"created\") as varchar), 4000) else '' end)"
    for unit in ("year", "month")
) + ")"  # fmt: skip

POWER_BI = [
    power_bi("on or after, and before", f'{KEPT} from {TABLE} "_" where {DATES}', day),
    power_bi("years and months as a text", f'select {YEAR_AND_MONTH} as "year_month" from (select "_"."created" from '
             f'(select "created" from {TABLE} "$Table") "_" where "_"."created" < timestamp \'{{end}} 00:00:00\' '
             'and "_"."created" >= timestamp \'{day} 00:00:00\') "_"', day, "year_month"),
    power_bi("a member", f"{KEPT} from {TABLE} \"_\" where (\"_\".\"created\" >= date '{{day}}' "
             "and \"_\".\"type\" = 'email') and \"_\".\"created\" < date '{end}'", day, pushed=EMAIL),
    power_bi("some members", f"{KEPT} from {TABLE} \"_\" where ({DATES}) "
             "and (\"_\".\"type\" in ('email', 'push'))", day, kept=EMAIL_AND_PUSH),
    power_bi("a query that was given", 'select "_"."type", "_"."month" from '
             f"(select *, date_trunc('month', created) \"month\" from {TABLE}) \"_\" where "
             "\"_\".\"month\" < timestamp '{month_end} 00:00:00' and \"_\".\"month\" >= timestamp '{month} 00:00:00'",
             last_month),
]  # fmt: skip

BETWEEN = " AND ".join(
    f"created {op} TO_TIMESTAMP('{{{name}}} 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')"
    for op, name in ((">=", "day"), ("<", "end"))
)

SUPERSET = [
    Sample("superset", "by day", "SELECT DATE_TRUNC('day', created) AS created, type AS type, COUNT(*) AS count \n"
           f"FROM customerio.messages \nWHERE {BETWEEN} GROUP BY DATE_TRUNC('day', created), type \n LIMIT 1000", day),
    Sample("superset", "a filter", "SELECT COUNT(*) AS count \nFROM customerio.messages \n"
           f"WHERE {BETWEEN} AND type = 'email' \n LIMIT 1000", day, pushed=EMAIL),
    Sample("superset", "a filter of several", "SELECT COUNT(*) AS count \nFROM customerio.messages \n"
           f"WHERE {BETWEEN} AND type IN ('email', 'push') \n LIMIT 1000", day, kept=EMAIL_AND_PUSH),
    Sample("superset", "a virtual dataset", f"SELECT type AS type, COUNT(*) AS count \nFROM (select * from {TABLE}\n) "
           f"AS virtual_table \nWHERE {BETWEEN} GROUP BY type \n LIMIT 1000", day),
]  # fmt: skip

BUCKET = "floor(extract(epoch from created)/86400)*86400"
SPAN = "created BETWEEN '{day}T00:00:00Z' AND '{day}T23:59:59Z'"

GRAFANA = [
    Sample("grafana", "time filter and time group", f'SELECT {BUCKET} AS "time", count(*) FROM {TABLE} '
           f"WHERE {SPAN} GROUP BY 1 ORDER BY 1", day_to_its_last_second),
    Sample("grafana", "time filter and a variable", f'SELECT type AS metric, count(*) FROM {TABLE} '
           f"WHERE {SPAN} AND type IN ('email') GROUP BY 1", day_to_its_last_second, pushed=EMAIL),
]  # fmt: skip

SAMPLES = [*METABASE, *TABLEAU, *POWER_BI, *GRAFANA, *SUPERSET]

WIDE = [
    ("metabase: hour of the day", "CAST(extract(hour from created) AS integer) = {hour}"),
    ("metabase: day of the week", "(CAST(extract(dow from created) AS integer) + 1) = 2"),
    ("metabase: month of the year", "CAST(extract(month from created) AS integer) = {month_of_year}"),
    ("metabase: contains", "(LOWER(subject) LIKE '%a%')"),
    ("metabase: is not", "((type <> 'email') OR (type IS NULL))"),
    ("tableau: contains", "(STRPOS(CAST(LOWER(CAST(CAST(subject AS TEXT) AS TEXT)) AS TEXT),CAST('a' AS TEXT)) > 0)"),
    ("tableau: month of the year", "(CAST(TRUNC(EXTRACT(MONTH FROM created)) AS INTEGER) = {month_of_year})"),
    ("tableau: times or none", f"(({TIMES.replace(X, 'created')}) OR (created IS NULL))"),
    ("tableau: a week from Sunday", "(CAST((DATE_TRUNC( 'day', CAST(created AS DATE) ) "
     "+ (-EXTRACT(DOW FROM created) * INTERVAL '1 DAY')) AS DATE) = (TIMESTAMP '{sunday} 00:00:00.000'))"),
    ("anybody: a month as a text", "to_char(created, 'YYYY-MM') = '2026-10'"),
    ("power bi: contains", "strpos((case when subject is not null then subject else '' end), 'a') > 0"),
    ("power bi: the date in words", "(case when cast(extract(year from created) as varchar) is not null "
     "then cast(extract(year from created) as varchar) else '' end) = '{year}'"),
]  # fmt: skip
"""Conditions that reach nobody but PostgreSQL."""
