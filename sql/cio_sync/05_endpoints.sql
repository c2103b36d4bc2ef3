-- Generated from the catalog by tools/docs.py: make docs

create function cio._endpoints() returns table (
    endpoint text, mode text, key_columns name[], time_column name, retention interval, page_rows int, parent text
)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select e.endpoint, e.mode, e.key_columns::name[], e.time_column::name, e.retention::interval, e.page_rows, e.parent
    from (values
        ('activities', 'cursor', '{id}', 'timestamp', '30 days', 100, null),
        ('activities_by_page', 'cursor', '{id}', 'timestamp', '30 days', 100, null),
        ('broadcasts', 'snapshot', '{id}', null, null, 30, null),
        ('broadcast_actions', 'snapshot', '{broadcast_id,id}', null, null, 10, 'broadcasts'),
        ('campaigns', 'snapshot', '{id}', null, null, 100, null),
        ('campaign_actions', 'snapshot', '{campaign_id,id}', null, null, 10, 'campaigns'),
        ('collections', 'snapshot', '{id}', null, null, 20, null),
        ('snippets', 'snapshot', '{name}', null, null, 30, null),
        ('sender_identities', 'snapshot', '{id}', null, null, 100, null),
        ('subscription_topics', 'snapshot', '{id}', null, null, 10, null),
        ('messages', 'window', '{id}', 'created', '6 months', 1000, null),
        ('message_drafts', 'window', '{id}', 'created', '6 months', 1000, null),
        ('newsletters', 'snapshot', '{id}', null, null, 100, null),
        ('segments', 'snapshot', '{id}', null, null, 100, null),
        ('segment_membership', 'snapshot', '{segment_id,cio_id}', null, null, 30000, 'segments'),
        ('transactional_messages', 'snapshot', '{id}', null, null, 50, null)
    ) e(endpoint, mode, key_columns, time_column, retention, page_rows, parent)
$$;

comment on function cio._endpoints() is 'what the catalog of cio_fdw says about each endpoint';
