-- What was decided for tasks. Rows are added, and taken away when they are past their time; never changed.
-- Older workers may still run: yes

create table audit (
  id bigint generated always as identity primary key,
  at bigint not null,
  tenant_id text not null,
  task_id text not null,
  attempt integer not null,
  kind text not null,
  detail jsonb not null
);
create index audit_by_task on audit (tenant_id, task_id, id);
create index audit_by_time on audit (at);
create function audit_is_not_changed() returns trigger language plpgsql as $$
begin
  raise exception 'what stands in audit is never changed';
end $$;
create trigger audit_is_not_changed before update on audit for each row execute function audit_is_not_changed();
