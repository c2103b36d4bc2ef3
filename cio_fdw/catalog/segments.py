"""Segments and who is in them."""

from cio_fdw.endpoint import Column, Endpoint, OneRow, Paging, Parent

SEGMENTS = Endpoint(
    name="segments",
    doc="Segments of the workspace.",
    path="/v1/segments",
    rows_key="segments",
    key=("id",),
    one_row=OneRow("/v1/segments/{id}", "segment"),
    typical_rows=100,
    row_bytes=500,
    columns=(
        Column("id", "bigint", "Segment id."),
        Column("deduplicate_id", "text", "id:unix seconds of the last change."),
        Column("name", "text", "Name given in the workspace."),
        Column("description", "text", "Description."),
        Column("type", "text", "dynamic or manual."),
        Column("state", "text", "events, build, events_queued, build_queued or finished."),
        Column("progress", "bigint", "Per cent while it is being built, else null."),
        Column("tags", "text[]", "Tags."),
        Column("conditions", "jsonb", "Conditions, where the API gives them."),
        Column("created_at", "timestamptz", "When the segment was created."),
        Column("updated_at", "timestamptz", "When the segment was last changed."),
    ),
    sample={
        "segments": [
            {
                "id": 12,
                "deduplicate_id": "12:1767312000",
                "name": "Paying",
                "description": "",
                "type": "dynamic",
                "state": "finished",
                "progress": None,
                "tags": None,
                "created_at": 1767225600,
                "updated_at": 1767225600,
            }
        ]
    },
)

SEGMENT_MEMBERSHIP = Endpoint(
    name="segment_membership",
    doc="People in each segment. Membership moves while it is read.",
    path="/v1/segments/{segment_id}/membership",
    rows_key="identifiers",
    key=("segment_id", "cio_id"),
    parent=Parent(endpoint="segments", key="id", column="segment_id"),
    paging=Paging(size_param="limit", page_size=30000, max_size=30000),
    typical_rows=300,
    row_bytes=150,
    columns=(
        Column("segment_id", "bigint", "Segment the person is in."),
        Column("customer_id", "text", "Person's id in your own system.", source="id"),
        Column("customer_email", "text", "Person's e-mail address.", source="email"),
        Column("cio_id", "text", "Person's id given by Customer.io."),
    ),
    sample={
        "identifiers": [{"id": "u-1042", "email": "ana@example.org", "cio_id": "0a1b2c000001"}],
        "ids": ["u-1042"],
        "segment_id": 12,
        "next": "ZXhhbXBsZQ",
    },
)
