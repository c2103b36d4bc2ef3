"""dbt-postgres over foreign tables: freshness, incremental models, snapshots, docs; and the requests of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from cio_fdw.catalog import ENDPOINTS
from tests.clients.dbt_project import SCHEMA, Project
from tests.sync.helpers import DAY, Sync, today

SOURCES = {
    "version": 2,
    "sources": [
        {
            "name": "customerio",
            "schema": "customerio",
            "tables": [
                {
                    "name": "messages",
                    "config": {
                        "loaded_at_field": "created",
                        "freshness": {
                            "warn_after": {"count": 2, "period": "day"},
                            "error_after": {"count": 5, "period": "day"},
                            "filter": "created >= now() - interval '7 days'",
                        },
                    },
                },
                {"name": "campaigns"},
            ],
        }
    ],
}
MESSAGES = """\
{{{{ config(materialized='incremental', unique_key='id', incremental_strategy='{strategy}') }}}}
select id, campaign_id, created, sent, opened from {{{{ source('customerio', 'messages') }}}}
where created < '{end}'
{{% if is_incremental() %}} and created >= (select max(created) - interval '3 days' from {{{{ this }}}})
{{% else %}} and created >= '{start}' {{% endif %}}
"""
DESCRIBED = {
    "version": 2,
    "models": [
        {
            "name": "campaign_list",
            "description": "Campaigns; one row each.",
            "columns": [{"name": "id", "description": "Campaign id."}, {"name": "name", "description": "Its 'name'."}],
        }
    ],
}
LIST = "{{ config(materialized='table') }} select id, name, created from {{ source('customerio', 'campaigns') }}"
SNAPSHOT = """\
{% snapshot campaign_names %}
{{ config(target_schema='dbt', unique_key='id', strategy='check', check_cols=['name']) }}
select id, name from {{ source('customerio', 'campaigns') }}
{% endsnapshot %}
"""


@pytest.fixture
def project(mirror_db: Sync, tmp_path: Path) -> Project:
    made = Project(tmp_path, mirror_db.address)
    made.write("models/sources.yml", SOURCES)
    mirror_db.sim.reset()
    return made


def starts(sync: Sync) -> list[int]:
    """start_ts of the requests since the last reset."""
    return sorted(int(target.partition("start_ts=")[2].partition("&")[0]) for target in sync.requests())


def test_freshness_on_created(project: Project, mirror_db: Sync) -> None:
    """One maximum over the days of the filter, not over six months."""
    mirror_db.sim.add_messages(count=1)
    project.run("source", "freshness")
    (fresh,) = project.artifact("sources.json")["results"]
    assert fresh["status"] == "pass"
    assert fresh["max_loaded_at_time_ago_in_s"] < 600
    week_ago = mirror_db.value("select extract(epoch from now() - interval '7 days')::bigint")
    assert all(start - week_ago >= -120 for start in starts(mirror_db))
    assert 1 <= len(mirror_db.requests()) <= 3


def test_freshness_fails_when_nothing_was_sent(project: Project, mirror_db: Sync) -> None:
    late = {row["id"] for row in mirror_db.sim.data("messages") if row["created"] > (today() - 6 * DAY).timestamp()}
    mirror_db.sim.delete(*late)
    old = int((today() - 6 * DAY).timestamp())
    mirror_db.sim.add_messages({"created": old, "metrics": {"sent": old}})
    project.run("source", "freshness", fails=True)
    (stale,) = project.artifact("sources.json")["results"]
    assert stale["status"] == "error"
    assert stale["max_loaded_at_time_ago_in_s"] > 5 * DAY.total_seconds()


@pytest.mark.parametrize("strategy", ["delete+insert", "merge"])
def test_incremental_model_asks_only_for_the_days_since(project: Project, mirror_db: Sync, strategy: str) -> None:
    start, end = today() - 60 * DAY, today() - DAY
    project.write("models/messages.sql", MESSAGES.format(strategy=strategy, start=start, end=end))
    project.run("run")
    table = f"{SCHEMA}.messages"
    assert mirror_db.ids(table, "true") == mirror_db.source_ids(start, end)
    assert min(starts(mirror_db)) == int(start.timestamp())

    newest = mirror_db.value(f"select max(created) from {table}")
    known = mirror_db.value(f"select id from {table} where created = %s limit 1", [newest])
    mirror_db.sim.touch(known, opened=int(end.timestamp()))
    (added,) = mirror_db.sim.add_messages({"created": int(newest.timestamp()) + 60})
    mirror_db.sim.reset()
    project.run("run")
    assert min(starts(mirror_db)) == int((newest - 3 * DAY).timestamp())
    assert mirror_db.ids(table, "true") == mirror_db.source_ids(start, end)
    assert added["id"] in mirror_db.ids(table, "true")
    assert mirror_db.value(f"select opened from {table} where id = %s", [known]) == end
    assert mirror_db.value(f"select count(*) = count(distinct id) from {table}")


def test_a_failing_page_leaves_the_model_as_it_was(project: Project, mirror_db: Sync) -> None:
    start, end = today() - 60 * DAY, today() - DAY
    project.write("models/messages.sql", MESSAGES.format(strategy="delete+insert", start=start, end=end))
    project.run("run")
    before = mirror_db.rows(f"select * from {SCHEMA}.messages order by id")
    mirror_db.sim.faults([{"match": {"path": "/v1/messages"}, "times": None,
                           "action": {"kind": "status", "status": 403}}])  # fmt: skip
    said = project.run("run", fails=True)
    assert "is not allowed with this App API key" in said
    assert mirror_db.rows(f"select * from {SCHEMA}.messages order by id") == before


def test_snapshot_keeps_what_a_campaign_was_called(project: Project, mirror_db: Sync) -> None:
    project.write("snapshots/campaign_names.sql", SNAPSHOT)
    project.run("snapshot")
    once = len(mirror_db.requests())
    (campaign, *_) = mirror_db.sim.data("campaigns")
    mirror_db.sim.put_rows("campaigns", [{**campaign, "name": "another name"}])
    try:
        project.run("snapshot")
        versions = mirror_db.rows(
            f"select name, dbt_valid_to is null from {SCHEMA}.campaign_names where id = %s order by dbt_valid_from",
            [campaign["id"]],
        )
    finally:
        mirror_db.sim.put_rows("campaigns", [campaign])
    assert versions == [(campaign["name"], False), ("another name", True)]
    assert once >= 1
    assert set(mirror_db.requests()) == {"/v1/campaigns"}


def test_docs_with_the_comments_of_the_columns(project: Project, mirror_db: Sync) -> None:
    project.write("models/campaign_list.sql", LIST)
    project.write("models/described.yml", DESCRIBED)
    project.run("run")
    mirror_db.sim.reset()
    project.run("docs", "generate")
    assert mirror_db.requests() == []
    catalog = project.artifact("catalog.json")
    columns = catalog["nodes"]["model.customerio.campaign_list"]["columns"]
    assert {name: columns[name]["comment"] for name in ("id", "name")} == {"id": "Campaign id.", "name": "Its 'name'."}
    assert mirror_db.value(f"select obj_description('{SCHEMA}.campaign_list'::regclass)") == "Campaigns; one row each."
    source = catalog["sources"]["source.customerio.customerio.messages"]
    declared = ENDPOINTS["messages"].all_columns
    assert {name: one["comment"] for name, one in source["columns"].items()} == {one.name: one.doc for one in declared}
    assert source["metadata"]["comment"] == ENDPOINTS["messages"].doc
