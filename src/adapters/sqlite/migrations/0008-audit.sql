-- What was decided for tasks. Rows are added, and taken away when they are past their time; never changed.
-- Older workers may still run: they know nothing of it.

create table audit (
  id integer primary key,
  at integer not null,
  tenant_id text not null,
  task_id text not null,
  attempt integer not null,
  kind text not null,
  detail text not null
) strict;
create index audit_by_task on audit (tenant_id, task_id, id);
create index audit_by_time on audit (at);
create trigger audit_is_not_changed before update on audit begin
  select raise(abort, 'what stands in audit is never changed');
end;
