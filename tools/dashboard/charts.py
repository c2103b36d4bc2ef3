"""The charts of the dashboard: what Superset is told, and the plain SQL that must give the same rows.

Both are about whole days up to last midnight, so that the same requests are asked for again a minute later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

TITLE = "Customer.io"
MESSAGES, WITH_CAMPAIGNS = "messages", "messages_with_campaigns"
DATASETS = {
    MESSAGES: "",
    WITH_CAMPAIGNS: (
        "select m.created, m.type, m.opened, c.name as campaign "
        "from customerio.messages m join customerio.campaigns c on c.id = m.campaign_id"
    ),
}
"""Name, and the statement of a virtual dataset; empty: the table of this name."""

SINCE = "created >= date_trunc('day', now()) - interval '{days} days' and created < date_trunc('day', now())"


@dataclass(frozen=True)
class Chart:
    """`columns` and `metrics` are those of Superset's query; `form` is what its own form adds for the picture."""

    name: str
    viz_type: str
    days: int
    plain_sql: str
    columns: list[Any]
    metrics: list[Any]
    form: Object
    dataset: str = MESSAGES
    paths: tuple[str, ...] = ("/v1/messages",)
    pushed: Object = field(default_factory=dict)
    width: int = 6

    @property
    def filters(self) -> list[Object]:
        """Filters of the query: the time range, and what is pushed."""
        equal = [{"col": name, "op": "==", "val": wanted} for name, wanted in self.pushed.items()]
        return [{"col": "created", "op": "TEMPORAL_RANGE", "val": f"Last {self.days} days"}, *equal]

    def form_data(self) -> Object:
        """What Superset keeps of the chart, and its browser side makes the query from."""
        adhoc = [
            {
                "expressionType": "SIMPLE",
                "clause": "WHERE",
                "subject": f["col"],
                "operator": f["op"],
                "comparator": f["val"],
            }
            for f in self.filters
        ]
        return {"viz_type": self.viz_type, "adhoc_filters": adhoc, "row_limit": 1000, **self.form}

    def query(self) -> Object:
        """The query that Superset's API answers."""
        extras = {"time_grain_sqla": self.form["time_grain_sqla"]} if "time_grain_sqla" in self.form else {}
        return {
            "columns": self.columns,
            "metrics": self.metrics,
            "filters": self.filters,
            "extras": extras,
            "row_limit": 1000,
            "orderby": [],
        }

    def plain(self) -> str:
        """The plain SQL with its range of days."""
        return self.plain_sql.format(since=SINCE.format(days=self.days))


def counted(column: str, label: str) -> Object:
    """A metric of Superset: how many rows have a value. Called like a column of times, it would be shown as one."""
    return {"expressionType": "SQL", "sqlExpression": f"COUNT({column})", "label": label}


DAY = {
    "columnType": "BASE_AXIS",
    "expressionType": "SQL",
    "label": "created",
    "sqlExpression": "created",
    "timeGrain": "P1D",
}
OPENED, CLICKED = counted("opened", "opens"), counted("clicked", "clicks")

CHARTS = [
    Chart(
        name="E-mails of the last 7 days",
        viz_type="big_number_total",
        days=7,
        plain_sql="select count(*) from customerio.messages where type = 'email' and {since}",
        columns=[],
        metrics=["count"],
        form={"metric": "count", "subheader": "sent", "header_font_size": 0.4, "subheader_font_size": 0.125},
        pushed={"type": "email"},
        width=3,
    ),
    Chart(
        name="Messages by day",
        viz_type="echarts_timeseries_bar",
        days=30,
        plain_sql="select extract(epoch from date_trunc('day', created)) * 1000, type, count(*) "
        "from customerio.messages where {since} group by 1, 2",
        columns=[DAY, "type"],
        metrics=["count"],
        form={
            "x_axis": "created", "time_grain_sqla": "P1D", "metrics": ["count"], "groupby": ["type"], "stack": "Stack",
            "show_legend": True, "x_axis_time_format": "%d %b", "order_desc": True, "truncate_metric": True,
        },
        width=9,
    ),
    Chart(
        name="Messages by campaign, 30 days",
        viz_type="pie",
        days=30,
        plain_sql="select c.name, count(*) from (select * from customerio.messages where {since}) m "
        "join customerio.campaigns c on c.id = m.campaign_id group by 1",
        columns=["campaign"],
        metrics=["count"],
        form={"groupby": ["campaign"], "metric": "count", "donut": True, "show_legend": False},
        dataset=WITH_CAMPAIGNS,
        paths=("/v1/campaigns", "/v1/messages"),
    ),
    Chart(
        name="By type, 14 days",
        viz_type="table",
        days=14,
        plain_sql="select type, count(*), count(opened), count(clicked) from customerio.messages "
        "where {since} group by 1",
        columns=["type"],
        metrics=["count", OPENED, CLICKED],
        form={"query_mode": "aggregate", "groupby": ["type"], "metrics": ["count", OPENED, CLICKED]},
    ),
]  # fmt: skip
