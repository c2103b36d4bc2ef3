"""Newsletters (one-time sends)."""

from cio_fdw.endpoint import Column, Endpoint, OneRow, Paging

NEWSLETTERS = Endpoint(
    name="newsletters",
    doc="Newsletters (one-time sends) of the workspace.",
    path="/v1/newsletters",
    rows_key="newsletters",
    key=("id",),
    one_row=OneRow("/v1/newsletters/{id}", "newsletter"),
    # No maximum is declared for limit; 100 is what the other lists take (NOTES.md, pagination).
    paging=Paging(size_param="limit", page_size=100, max_size=100),
    typical_rows=100,
    row_bytes=500,
    columns=(
        Column("id", "bigint", "Newsletter id."),
        Column("deduplicate_id", "text", "id:unix seconds of the last change."),
        Column("name", "text", "Name given in the workspace."),
        Column("type", "text", "email, webhook, twilio (SMS), push, in_app or inbox."),
        Column("created", "timestamptz", "When the newsletter was created."),
        Column("updated", "timestamptz", "When the newsletter was last changed."),
        Column("sent_at", "timestamptz", "When it was sent; null until then.", zero_is_null=True),
        Column("content_ids", "jsonb", "Ids of its contents (variants)."),
        Column("tags", "text[]", "Tags."),
        Column("recipient_segment_ids", "jsonb", "Ids of the segments it goes to."),
        Column("subscription_topic_id", "bigint", "Topic of the subscription center."),
        Column("send_state", "text", "Stage of its life: drafted, scheduled, sending, ... where the API tells."),
    ),
    sample={
        "newsletters": [
            {
                "id": 410,
                "deduplicate_id": "410:1767312000",
                "name": "January news",
                "type": "email",
                "created": 1767225600,
                "updated": 1767225609,
                "sent_at": None,
                "content_ids": [411],
                "tags": ["monthly"],
                "recipient_segment_ids": [12],
            }
        ],
        "next": "MTA",
    },
)
