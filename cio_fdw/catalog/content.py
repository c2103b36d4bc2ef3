"""What messages are made with: collections, snippets, senders, topics."""

from cio_fdw.endpoint import Column, Endpoint, OneRow, Paging

COLLECTIONS = Endpoint(
    name="collections",
    doc="Collections: data for personalization.",
    path="/v1/collections",
    rows_key="collections",
    key=("id",),
    one_row=OneRow("/v1/collections/{id}", "collection"),
    typical_rows=20,
    row_bytes=250,
    columns=(
        Column("id", "bigint", "Collection id."),
        Column("name", "text", "Name given in the workspace."),
        Column("bytes", "bigint", "Size of the content."),
        Column("rows", "bigint", "Rows of the content."),
        Column("schema", "text[]", "Top-level keys of the content."),
        Column("created_at", "timestamptz", "When the collection was created."),
        Column("updated_at", "timestamptz", "When the collection was last changed."),
    ),
    sample={
        "collections": [
            {
                "id": 1,
                "name": "stores",
                "bytes": 296,
                "rows": 2,
                "schema": ["city", "phone"],
                "created_at": 1767225600,
                "updated_at": 1767225600,
            }
        ]
    },
)

SNIPPETS = Endpoint(
    name="snippets",
    doc="Snippets: pieces of content that messages share. They have no id; the name is unique.",
    path="/v1/snippets",
    rows_key="snippets",
    key=("name",),
    typical_rows=30,
    row_bytes=1000,
    columns=(
        Column("name", "text", "Name, unique in the workspace."),
        Column("value", "text", "Content with Liquid."),
        Column("updated_at", "timestamptz", "When the snippet was last changed."),
    ),
    sample={"snippets": [{"name": "footer", "value": "<p>bye</p>", "updated_at": 1767225600}]},
)

SENDER_IDENTITIES = Endpoint(
    name="sender_identities",
    doc="Senders, hidden ones included.",
    path="/v1/sender_identities",
    rows_key="sender_identities",
    key=("id",),
    one_row=OneRow("/v1/sender_identities/{id}", "sender_identity"),
    paging=Paging(size_param="limit", page_size=100, max_size=100),
    # Hidden senders are left out by default; asking for them is always safe (OBSERVED.md).
    fixed_params=(("hidden", "true"),),
    typical_rows=20,
    row_bytes=250,
    columns=(
        Column("id", "bigint", "Sender id."),
        Column("deduplicate_id", "text", "id:unix seconds of the last change."),
        Column("name", "text", "Name shown to recipients."),
        Column("email", "text", "E-mail address."),
        Column("address", "text", "Name <e-mail address>."),
        Column("phone", "text", "Phone number."),
        Column("template_type", "text", "email or phone."),
        Column("auto_generated", "bool", "Whether Customer.io made it."),
        Column("hidden", "bool", "Whether it is hidden in the workspace."),
    ),
    sample={
        "sender_identities": [
            {
                "id": 3,
                "deduplicate_id": "3:1767312000",
                "name": "Team",
                "email": "hi@example.org",
                "address": "Team <hi@example.org>",
                "template_type": "email",
                "auto_generated": False,
                "hidden": False,
            }
        ],
        "next": "",
    },
)

SUBSCRIPTION_TOPICS = Endpoint(
    name="subscription_topics",
    doc="Topics of the subscription center.",
    path="/v1/subscription_topics",
    rows_key="topics",
    key=("id",),
    typical_rows=10,
    row_bytes=150,
    columns=(
        Column("id", "bigint", "Topic id."),
        Column("identifier", "text", "topic_<id>, as the person's attribute names it."),
        Column("name", "text", "Name."),
        Column("description", "text", "Description."),
        Column("subscribed_by_default", "bool", "Whether people are subscribed unless they say no."),
    ),
    sample={
        "topics": [
            {"id": 2, "identifier": "topic_2", "name": "Offers", "description": "Deals", "subscribed_by_default": True}
        ]
    },
)
