-- Tasks, their attempts, what waits to be sent, and cancels that came before their task.
-- Older workers may still run: no

-- The one clock of all workers: Unix milliseconds.
create function clock_ms() returns bigint language sql volatile
  as $$ select floor(extract(epoch from clock_timestamp()) * 1000)::bigint $$;

create table tasks (
  -- The order of intake.
  id bigint generated always as identity unique,
  tenant_id text not null,
  task_id text not null,
  request_sha256 text not null,
  -- The checked request with its defaults, as JSON. Bytes, because a request may hold what text and jsonb refuse.
  request bytea not null,
  state text not null,
  -- With lease_owner the fence of every write.
  attempt integer not null default 0,
  strikes integer not null default 0,
  lease_owner text,
  lease_until bigint,
  cancel_requested boolean not null default false,
  priority smallint not null,
  not_before_at bigint,
  received_at bigint not null,
  started_at bigint,
  finished_at bigint,
  sandbox_id text,
  reason text,
  -- Written once, with state FINISHED, and answered byte for byte ever after.
  result bytea,
  primary key (tenant_id, task_id)
);

create index tasks_to_lease on tasks (priority desc, id) where state = 'QUEUED';
create index tasks_leased on tasks (lease_until) where lease_until is not null;

create table attempts (
  tenant_id text not null,
  task_id text not null,
  number integer not null,
  owner text not null,
  leased_at bigint not null,
  started_at bigint,
  sandbox_id text,
  -- When the sandbox is to be gone whatever happens.
  deadline_at bigint,
  ended_at bigint,
  -- finished, released, or lost with its owner.
  ending text,
  primary key (tenant_id, task_id, number)
);

-- A row waits for a relay to send it. Without a value of its own it stands for bytes of its task, which no longer change: the
-- result, or for a dead letter the request.
create table outbox (
  id bigint generated always as identity primary key,
  kind text not null,
  tenant_id text,
  task_id text,
  -- JSON, where they do not follow from the task.
  headers bytea,
  value bytea,
  result_sha256 text,
  created_at bigint not null,
  -- Until then one relay has it.
  claimed_until bigint not null default 0,
  published_at bigint
);

create index outbox_waiting on outbox (id) where published_at is null;

create table cancel_stubs (
  tenant_id text not null,
  task_id text not null,
  expires_at bigint not null,
  primary key (tenant_id, task_id)
);

create index cancel_stubs_by_age on cancel_stubs (expires_at);
