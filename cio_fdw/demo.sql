-- Messages of the last day: one time window
select type, count(*) as messages, count(opened) as opened, max(created)::timestamp(0) as newest
from customerio.messages
where created > now() - interval '1 day'
group by type
order by messages desc;

-- Sends and opens per campaign of the last 7 days
select c.name, count(*) as sends, count(m.opened) as opens, round(100.0 * count(m.opened) / count(*), 1) as open_percent
from customerio.messages m
join customerio.campaigns c on c.id = m.campaign_id
where m.created > now() - interval '7 days'
group by c.name
order by sends desc
limit 8;

-- Actions of one campaign: only that campaign is asked for
select id, type, name, sending_state
from customerio.campaign_actions
where campaign_id = 2
order by id;

-- Five messages: of the requests that could follow, the first is enough
select id, type, created::timestamp(0), subject
from customerio.messages
limit 5;

-- A materialized view of daily sends, for dashboards
create materialized view if not exists daily_sends as
select (created at time zone 'UTC')::date as day, type, count(*) as sends, count(opened) as opens
from customerio.messages
where created > now() - interval '30 days'
group by 1, 2;

-- A unique index lets the view be refreshed while it is read
create unique index if not exists daily_sends_key on daily_sends (day, type);

-- Refreshed without locking out readers
refresh materialized view concurrently daily_sends;

-- The view answers at once, without a request
select day, sum(sends) as sends, sum(opens) as opens
from daily_sends
group by day
order by day desc
limit 7;

-- Local copies that a refresh brings up to date, and that keep what the API forgets
create extension if not exists cio_sync;

-- The copy has the columns of the foreign table; nothing is read yet
select cio.mirror('customerio.messages', 'analytics.messages', if_not_exists => true);

-- Its first refresh, here only the five newest days of six months; the next one would go on
call cio.refresh('analytics.messages', max_units => 5);

-- The copy is a plain table
select count(*) as messages, min(created)::date as since, count(opened) as opened
from analytics.messages;
