-- Generated from the catalog by tools/docs.py: make docs

create function cio._endpoints() returns table (
    endpoint text, mode text, key_columns name[], time_column name, retention interval, page_rows int
)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select e.endpoint, e.mode, e.key_columns::name[], e.time_column::name, e.retention::interval, e.page_rows
    from (values
        ('activities', 'cursor', '{id}', 'timestamp', '30 days', 100),
        ('activities_by_page', 'cursor', '{id}', 'timestamp', '30 days', 100),
        ('broadcasts', 'snapshot', '{id}', null, null, 30),
        ('broadcast_actions', 'snapshot', '{broadcast_id,id}', null, null, 10),
        ('campaigns', 'snapshot', '{id}', null, null, 100),
        ('campaign_actions', 'snapshot', '{campaign_id,id}', null, null, 10),
        ('collections', 'snapshot', '{id}', null, null, 20),
        ('snippets', 'snapshot', '{name}', null, null, 30),
        ('sender_identities', 'snapshot', '{id}', null, null, 100),
        ('subscription_topics', 'snapshot', '{id}', null, null, 10),
        ('messages', 'window', '{id}', 'created', '6 months', 1000),
        ('message_drafts', 'window', '{id}', 'created', '6 months', 1000),
        ('newsletters', 'snapshot', '{id}', null, null, 100),
        ('segments', 'snapshot', '{id}', null, null, 100),
        ('segment_membership', 'snapshot', '{segment_id,cio_id}', null, null, 30000),
        ('transactional_messages', 'snapshot', '{id}', null, null, 50)
    ) e(endpoint, mode, key_columns, time_column, retention, page_rows)
$$;

comment on function cio._endpoints() is 'what the catalog of cio_fdw says about each endpoint';
