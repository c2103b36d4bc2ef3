"""Transactional message templates."""

from cio_fdw.endpoint import Column, Endpoint, OneRow

TRANSACTIONAL_MESSAGES = Endpoint(
    name="transactional_messages",
    doc="Templates of transactional messages; the deliveries are in messages.",
    path="/v1/transactional",
    rows_key="messages",
    key=("id",),
    one_row=OneRow("/v1/transactional/{id}", "message"),
    typical_rows=50,
    row_bytes=400,
    columns=(
        Column("id", "bigint", "Template id; messages.transactional_message_id."),
        Column("name", "text", "Name given in the workspace."),
        Column("description", "text", "Description."),
        Column("trigger_name", "text", "Name by which the API triggers it."),
        Column("send_to_unsubscribed", "bool", "Whether it goes to unsubscribed people too."),
        Column("link_tracking", "bool", "Whether links are tracked."),
        Column("open_tracking", "bool", "Whether opens are tracked."),
        Column("hide_message_body", "bool", "Whether the body is kept out of the workspace."),
        Column("queue_drafts", "bool", "Whether it is held as a draft."),
        Column("created_at", "timestamptz", "When the template was created."),
        Column("updated_at", "timestamptz", "When the template was last changed."),
    ),
    sample={
        "messages": [
            {
                "id": 5,
                "name": "Password reset",
                "description": "",
                "send_to_unsubscribed": True,
                "link_tracking": False,
                "open_tracking": True,
                "hide_message_body": True,
                "queue_drafts": False,
                "created_at": 1767225600,
                "updated_at": 1767225610,
                "trigger_name": "password_reset",
            }
        ]
    },
)
