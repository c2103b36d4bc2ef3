"""Deliveries across the workspace."""

from dataclasses import replace

from cio_fdw.endpoint import Column, Endpoint, Filter, OneRow, Paging, Presence, Window

MESSAGE_TYPES = frozenset(("email", "webhook", "twilio", "whatsapp", "slack", "push", "in_app", "live_notification"))


def _metric(name: str, doc: str) -> Column:
    return Column(name, "timestamptz", f"{doc} Null when it did not happen.", source=f"metrics.{name}")


MESSAGES = Endpoint(
    name="messages",
    doc="Deliveries: one row for each message sent (or attempted) to a person.",
    path="/v1/messages",
    rows_key="messages",
    key=("id",),
    # /v1/messages/{id} also answers for drafts and for what is older than the list.
    one_row=OneRow("/v1/messages/{id}", "message", confirmed=True),
    paging=Paging(size_param="limit", page_size=1000, max_size=1000),
    filters=(
        Filter("campaign_id", "campaign_id", selectivity=0.02),
        Filter("newsletter_id", "newsletter_id", selectivity=0.02),
        Filter("action_id", "action_id", selectivity=0.005),
        Filter("type", "type", known=MESSAGE_TYPES, selectivity=0.3),
    ),
    presence=Presence(
        "metric",
        (
            "spammed",
            "failed",
            "undeliverable",
            "unsubscribed",
            "dropped",
            "bounced",
            "converted",
            "clicked",
            "opened",
            "delivered",
            "sent",
        ),
    ),
    incremental="window",
    kept="about 6 months",
    retention="6 months",
    window=Window("created", "start_ts", "end_ts", max_days=180, kept_days=184),
    typical_rows=500,
    row_bytes=900,
    columns=(
        Column("id", "text", "Delivery id."),
        Column("deduplicate_id", "text", "id:unix seconds of the newest metric; moves forward when one lands."),
        Column("type", "text", "email, webhook, twilio (SMS), whatsapp, slack, push, in_app, live_notification."),
        Column("campaign_id", "bigint", "Campaign it was sent by."),
        Column("broadcast_id", "bigint", "Broadcast it was sent by."),
        Column("newsletter_id", "bigint", "Newsletter it was sent by."),
        Column("transactional_message_id", "bigint", "Transactional template it was sent from."),
        Column("action_id", "bigint", "Action that sent it."),
        Column("parent_action_id", "bigint", "Action that encloses action_id."),
        Column("content_id", "bigint", "Newsletter variant or content."),
        Column("trigger_event_id", "text", "Event that triggered it."),
        Column("customer_id", "text", "Person's id in your own system.", fallback="customer_identifiers.id"),
        Column("customer_email", "text", "Person's e-mail address.", source="customer_identifiers.email"),
        Column("cio_id", "text", "Person's id given by Customer.io.", source="customer_identifiers.cio_id"),
        Column("recipient", "text", "Address, number or device it was sent to."),
        Column("subject", "text", "Subject line."),
        Column("created", "timestamptz", "When the delivery was created (not sent). Pushed as start_ts and end_ts."),
        Column("failure_message", "text", "Why it failed."),
        Column("forgotten", "bool", "Whether the content was not retained."),
        Column("msg_template_id", "bigint", "Template. Deprecated.", fallback="message_template_id"),
        _metric("drafted", "When it was drafted."),
        _metric("attempted", "When sending was last attempted and failed for now."),
        _metric("sent", "When it was sent."),
        _metric("delivered", "When it was delivered."),
        _metric("opened", "When it was first opened, by a person or a machine."),
        _metric("human_opened", "When a person first opened it."),
        _metric("prefetch_opened", "When a machine first opened it."),
        _metric("clicked", "When a link was first clicked, by a person or a machine."),
        _metric("human_clicked", "When a person first clicked a link."),
        _metric("prefetch_clicked", "When a machine first clicked a link."),
        _metric("converted", "When the person converted."),
        _metric("bounced", "When it bounced."),
        _metric("dropped", "When it was dropped."),
        _metric("failed", "When it failed."),
        _metric("spammed", "When it was marked as spam."),
        _metric("undeliverable", "When it was found undeliverable."),
        _metric("unsubscribed", "When the person unsubscribed through it."),
        Column("metrics", "jsonb", "Every metric that happened, with unix seconds; link:<n> for tracked links."),
        Column("customer_identifiers", "jsonb", "The person's identifiers as one object."),
        Column("tracked_responses", "jsonb", "Tracked responses, where the API gives them."),
    ),
    sample={
        "messages": [
            {
                "id": "aBcDeF0123456789xYz=",
                "deduplicate_id": "aBcDeF0123456789xYz=:1767312005",
                "type": "email",
                "campaign_id": 7,
                "broadcast_id": None,
                "newsletter_id": None,
                "action_id": 71,
                "parent_action_id": None,
                "content_id": None,
                "trigger_event_id": None,
                "customer_id": "u-1042",
                "customer_identifiers": {"id": "u-1042", "email": "ana@example.org", "cio_id": "0a1b2c000001"},
                "recipient": "ana@example.org",
                "subject": "Welcome",
                "created": 1767312000,
                "failure_message": None,
                "forgotten": False,
                "msg_template_id": 88,
                "metrics": {"sent": 1767312002, "delivered": 1767312005, "link:1": 1767312100},
            }
        ],
        "next": "ZXhhbXBsZQ",
    },
)

MESSAGE_DRAFTS = replace(
    MESSAGES,
    name="message_drafts",
    doc="Deliveries that wait as drafts; the API keeps them apart from those in messages.",
    fixed_params=(("drafts", "true"),),
    typical_rows=10,
)
