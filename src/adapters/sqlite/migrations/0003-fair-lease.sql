-- Who is next among tenants, without looking at every task.
-- Older workers may still run: they read and write the same columns.

create index tasks_by_tenant on tasks (tenant_id, priority desc, id) where state = 'QUEUED';
create index tasks_held on tasks (tenant_id) where state in ('LEASED', 'STARTING', 'RUNNING', 'COLLECTING');
create index attempts_by_tenant on attempts (tenant_id, leased_at);
drop index tasks_to_lease;
