-- A task may name who is told of its end over HTTP; the telling waits in the outbox, with its tries counted. Their relay would take a
-- callback for a dead letter.
-- Older workers may still run: no

alter table tasks add column callback_url text;
alter table outbox add column tries integer not null default 0;

create index outbox_callbacks on outbox (claimed_until) where kind = 'callback' and published_at is null;
create index outbox_letters on outbox (id) where kind = 'dead_letter';
-- How many of a tenant wait is counted when one more comes.
create index tasks_queued on tasks (tenant_id) where state = 'QUEUED';
