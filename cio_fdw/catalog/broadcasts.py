"""Broadcasts and the actions inside them."""

from cio_fdw.catalog.action_columns import ACTION_COLUMNS
from cio_fdw.endpoint import Column, Endpoint, OneRow, Paging, Parent

BROADCASTS = Endpoint(
    name="broadcasts",
    doc="API-triggered broadcasts of the workspace.",
    path="/v1/broadcasts",
    rows_key="broadcasts",
    key=("id",),
    one_row=OneRow("/v1/broadcasts/{id}", "broadcast"),
    typical_rows=30,
    row_bytes=600,
    columns=(
        Column("id", "bigint", "Broadcast id."),
        Column("deduplicate_id", "text", "id:unix seconds of the last change."),
        Column("name", "text", "Name given in the workspace."),
        Column("type", "text", "triggered_broadcast."),
        Column("created", "timestamptz", "When the broadcast was created."),
        Column("updated", "timestamptz", "When the broadcast was last changed."),
        Column("active", "bool", "Whether the broadcast is active."),
        Column("state", "text", "running or draft."),
        Column("actions", "jsonb", "Stubs (id, type) of the actions; broadcast_actions has them in full."),
        Column("first_started", "timestamptz", "When it was first started; null when never.", zero_is_null=True),
        Column("tags", "text[]", "Tags."),
        Column("msg_template_ids", "jsonb", "Template stubs (id, type). Deprecated."),
        Column("created_by", "text", "Who created it, where the API tells."),
    ),
    sample={
        "broadcasts": [
            {
                "id": 31,
                "deduplicate_id": "31:1767312000",
                "name": "Outage notice",
                "type": "triggered_broadcast",
                "created": 1767225600,
                "updated": 1767225600,
                "active": True,
                "state": "running",
                "actions": [{"id": 311, "type": "email"}],
                "first_started": 1767225700,
                "tags": ["ops"],
            }
        ]
    },
)

BROADCAST_ACTIONS = Endpoint(
    name="broadcast_actions",
    doc="Actions of each broadcast, with their content.",
    path="/v1/broadcasts/{broadcast_id}/actions",
    rows_key="actions",
    key=("broadcast_id", "id"),
    parent=Parent(endpoint="broadcasts", key="id", column="broadcast_id"),
    paging=Paging(page_size=10),
    typical_rows=2,
    row_bytes=4000,
    columns=(
        Column("broadcast_id", "bigint", "Broadcast the action belongs to."),
        Column("id", "bigint", "Action id."),
        *ACTION_COLUMNS,
    ),
    sample={
        "actions": [
            {
                "id": 311,
                "broadcast_id": 31,
                "deduplicate_id": "311:1767312000",
                "name": "Notice",
                "type": "email",
                "created": 1767225600,
                "updated": 1767225600,
                "sending_state": "automatic",
                "language": "",
                "subject": "Heads up",
                "from": "Team <hi@example.org>",
                "from_id": 3,
                "reply_to_id": None,
                "recipient": "{{customer.email}}",
                "body": "<p>Hi</p>",
                "fake_bcc": False,
                "headers": "[]",
            }
        ]
    },
)
