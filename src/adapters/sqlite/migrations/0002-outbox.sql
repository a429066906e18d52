-- The outbox takes more than one message for a task, and dead letters; a relay can claim what it sends.
-- Older workers stop: they would write rows without a kind.

create table outbox_now (
  id integer primary key autoincrement,
  kind text not null,
  tenant_id text,
  task_id text,
  -- JSON, where they do not follow from the task.
  headers text,
  -- Without one the row stands for bytes of its task, which no longer change: the result, or for a dead letter the request.
  value blob,
  result_sha256 text,
  created_at integer not null,
  -- Until then one relay has it.
  claimed_until integer not null default 0,
  published_at integer
) strict;

insert into outbox_now (id, kind, tenant_id, task_id, result_sha256, created_at, published_at)
select id, 'result', tenant_id, task_id, result_sha256, created_at, published_at from outbox;

drop table outbox;
alter table outbox_now rename to outbox;

create index outbox_waiting on outbox (id) where published_at is null;
create index tasks_leased on tasks (lease_until) where lease_until is not null;
