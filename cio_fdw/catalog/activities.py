"""The activity log of the workspace."""

from dataclasses import replace

from cio_fdw.endpoint import NEXT_PAGE, PAGE, Column, Endpoint, Filter, Paging

ACTIVITIES = Endpoint(
    name="activities",
    doc="Activity log: events, attribute changes, sends; 30 days are guaranteed.",
    path="/v1/activities",
    rows_key="activities",
    key=("id",),
    paging=Paging(size_param="limit", page_size=100, max_size=100),
    filters=(
        Filter("type", "type", selectivity=0.1),
        Filter("name", "name", selectivity=0.05),
        Filter("customer_id", "customer_id", also=(("id_type", "id"),), selectivity=0.0005),
        # NOTES.md: a workspace may refuse an id_type; the value of a cio_id needs its prefix. One can be asked for.
        Filter(
            "cio_id",
            "customer_id",
            also=(("id_type", "cio_id"),),
            prefix="cio_",
            may_be_refused=True,
            selectivity=0.0005,
        ),
        Filter(
            "customer_email",
            "customer_id",
            also=(("id_type", "email"),),
            may_be_refused=True,
            selectivity=0.0005,
        ),
    ),
    incremental="cursor",
    feed_column="timestamp",
    kept="30 days guaranteed",
    retention="30 days",
    typical_rows=10000,
    row_bytes=400,
    columns=(
        Column("id", "text", "Activity id; sorts by time."),
        Column("type", "text", "event, attribute_change, sent_email, page, ...; an open list."),
        Column("name", "text", "Name of the event, attribute or screen."),
        Column("timestamp", "timestamptz", "When it happened. The API cannot filter by it."),
        Column("customer_id", "text", "Person's id in your own system.", fallback="customer_identifiers.id"),
        Column("customer_email", "text", "Person's e-mail address.", source="customer_identifiers.email"),
        Column("cio_id", "text", "Person's id given by Customer.io.", source="customer_identifiers.cio_id"),
        Column("delivery_id", "text", "Delivery it belongs to; messages.id."),
        Column("delivery_type", "text", "ios, android, email or phone."),
        Column("url", "text", "Page (page activities)."),
        Column("data", "jsonb", "Details; their shape follows type."),
        Column("customer_identifiers", "jsonb", "The person's identifiers as one object."),
    ),
    sample={
        "activities": [
            {
                "id": "01JGX0Z9K3M4N5P6Q7R8S9T0V1",
                "type": "sent_email",
                "timestamp": 1767225600,
                "customer_id": "u-1042",
                "customer_identifiers": {"id": "u-1042", "email": "ana@example.org", "cio_id": "0a1b2c000001"},
                "delivery_id": "aBcDeF0123456789xYz=",
                "delivery_type": "email",
                "data": {"delivery_id": "aBcDeF0123456789xYz=", "delivered": None, "opened": None},
            }
        ],
        "next": "MDox",
    },
)

ACTIVITIES_BY_PAGE = replace(
    ACTIVITIES,
    name="activities_by_page",
    doc="Activity log, page by page: for local copies, which can then go on where they were interrupted.",
    filters=(),
    by_page=True,
    columns=(
        *ACTIVITIES.columns,
        # No key of a record: filled from the request and its answer.
        Column(PAGE, "text", "Cursor of the page that has the row; empty for the first.", source=f"({PAGE})"),
        Column(NEXT_PAGE, "text", "Cursor of the page after it; null on the last.", source=f"({NEXT_PAGE})"),
    ),
)
