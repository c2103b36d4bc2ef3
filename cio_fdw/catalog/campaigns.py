"""Campaigns and the actions inside them."""

from cio_fdw.catalog.action_columns import ACTION_COLUMNS
from cio_fdw.endpoint import Column, Endpoint, OneRow, Paging, Parent

CAMPAIGNS = Endpoint(
    name="campaigns",
    doc="Campaigns (automations) of the workspace, of all seven trigger kinds.",
    path="/v1/campaigns",
    rows_key="campaigns",
    key=("id",),
    one_row=OneRow("/v1/campaigns/{id}", "campaign"),
    typical_rows=100,
    row_bytes=900,
    columns=(
        Column("id", "bigint", "Campaign id."),
        Column("deduplicate_id", "text", "id:unix seconds of the last change; moves when the campaign changes."),
        Column("name", "text", "Name given in the workspace."),
        Column("description", "text", "Description; absent when not set."),
        Column("type", "text", "Trigger kind: segment, event, form, date, relationship, object, webhook. Deprecated."),
        Column("created", "timestamptz", "When the campaign was created."),
        Column("updated", "timestamptz", "When the campaign was last changed."),
        Column("active", "bool", "Whether the campaign is active."),
        Column("state", "text", "running, draft or stopped."),
        Column("actions", "jsonb", "Stubs (id, type) of the actions; campaign_actions has them in full."),
        Column("first_started", "timestamptz", "When it was first started; null when never.", zero_is_null=True),
        Column("tags", "text[]", "Tags."),
        Column("filter_segment_ids", "jsonb", "Ids of the segments that filter who enters."),
        Column("trigger_segment_ids", "jsonb", "Ids of the segments that trigger it (segment kind)."),
        Column("msg_templates", "jsonb", "Template stubs (id, type). Deprecated."),
        Column("event_name", "text", "Triggering event (event kind)."),
        Column("date_attribute", "text", "Attribute that holds the date (date kind)."),
        Column("frequency", "text", "once, monthly or yearly (date kind)."),
        Column("start_hour", "bigint", "Hour of the day it starts (date kind)."),
        Column("start_minutes", "bigint", "Minutes past start_hour (date kind)."),
        Column("timezone", "text", "Time zone of start_hour (date kind)."),
        Column("use_customer_timezone", "bool", "Whether the person's own time zone is used (date kind)."),
        Column("object_type_id", "bigint", "Object type (object and relationship kinds)."),
        Column("audience", "jsonb", "Audience filters (object and relationship kinds)."),
        Column("filter_object_attributes", "text", "Object attribute filters, JSON text."),
        Column("filter_relationship_attributes", "text", "Relationship attribute filters, JSON text."),
        Column("object_attribute_triggers", "jsonb", "Object attribute triggers; an object, or JSON text in a string."),
        Column(
            "relationship_attribute_triggers",
            "jsonb",
            "Relationship attribute triggers; an object, or JSON text in a string.",
        ),
        Column("webhook_id", "bigint", "Webhook (webhook kind)."),
    ),
    sample={
        "campaigns": [
            {
                "id": 7,
                "deduplicate_id": "7:1767312000",
                "name": "Trial nudges",
                "description": "Three mails",
                "type": "segment",
                "created": 1767225600,
                "updated": 1767312000,
                "active": True,
                "state": "running",
                "actions": [{"id": 71, "type": "email"}],
                "first_started": 1767229200,
                "tags": ["trial"],
                "trigger_segment_ids": [12],
                "filter_segment_ids": [],
            }
        ]
    },
)

CAMPAIGN_ACTIONS = Endpoint(
    name="campaign_actions",
    doc="Actions (steps) of each campaign, with their content.",
    path="/v1/campaigns/{campaign_id}/actions",
    rows_key="actions",
    key=("campaign_id", "id"),
    parent=Parent(endpoint="campaigns", key="id", column="campaign_id"),
    paging=Paging(page_size=10),
    typical_rows=6,
    row_bytes=4000,
    columns=(
        Column("campaign_id", "bigint", "Campaign the action belongs to."),
        Column("id", "bigint", "Action id."),
        Column("broadcast_id", "bigint", "Broadcast id, where the API gives one."),
        *ACTION_COLUMNS,
    ),
    sample={
        "actions": [
            {
                "id": 71,
                "campaign_id": 7,
                "deduplicate_id": "71:1767312000",
                "name": "Day 1",
                "type": "email",
                "created": 1767225600,
                "updated": 1767225610,
                "sending_state": "automatic",
                "language": "",
                "subject": "Welcome",
                "from": "Team <hi@example.org>",
                "from_id": 3,
                "reply_to_id": None,
                "recipient": "{{customer.email}}",
                "body": "<p>Hi</p>",
                "fake_bcc": False,
                "headers": "[]",
            }
        ],
        "next": "MTA6Nw",
    },
)
