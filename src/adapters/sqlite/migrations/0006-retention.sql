-- What is past its time is found without looking at every task.
-- Older workers may still run: they read and write the same columns.

create index tasks_finished on tasks (finished_at, id) where finished_at is not null;
create index outbox_by_task on outbox (tenant_id, task_id);
create index outbox_sent on outbox (published_at) where published_at is not null;

-- How far logs and artifacts have been swept: the last task whose are gone.
create table swept (
  what text primary key,
  finished_at integer not null,
  id integer not null
) strict, without rowid;
