-- Tasks, their attempts, the results that wait to be sent, and cancels that came before their task.
-- First version: there are no older workers.

create table tasks (
  -- The order of intake.
  id integer primary key autoincrement,
  tenant_id text not null,
  task_id text not null,
  request_sha256 text not null,
  -- The checked request with its defaults, as JSON.
  request text not null,
  state text not null,
  -- With lease_owner the fence of every write.
  attempt integer not null default 0,
  strikes integer not null default 0,
  lease_owner text,
  lease_until integer,
  cancel_requested integer not null default 0,
  priority integer not null,
  not_before_at integer,
  received_at integer not null,
  started_at integer,
  finished_at integer,
  sandbox_id text,
  reason text,
  -- Written once, with state FINISHED, and answered byte for byte ever after.
  result blob,
  unique (tenant_id, task_id)
) strict;

create index tasks_to_lease on tasks (priority desc, id) where state = 'QUEUED';
create index tasks_unfinished on tasks (id) where state <> 'FINISHED';

create table attempts (
  tenant_id text not null,
  task_id text not null,
  number integer not null,
  owner text not null,
  leased_at integer not null,
  started_at integer,
  sandbox_id text,
  -- When the sandbox is to be gone whatever happens.
  deadline_at integer,
  ended_at integer,
  -- finished, released, or lost with its owner.
  ending text,
  primary key (tenant_id, task_id, number)
) strict, without rowid;

-- A row waits for a relay to send the task's result; the bytes are those of the task, which no longer change.
create table outbox (
  id integer primary key autoincrement,
  tenant_id text not null,
  task_id text not null,
  result_sha256 text not null,
  created_at integer not null,
  published_at integer,
  unique (tenant_id, task_id)
) strict;

create table cancel_stubs (
  tenant_id text not null,
  task_id text not null,
  expires_at integer not null,
  primary key (tenant_id, task_id)
) strict, without rowid;

create index cancel_stubs_by_age on cancel_stubs (expires_at);
