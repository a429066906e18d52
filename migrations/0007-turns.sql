-- Whose turn it is, and how many wait, without looking at every task; and a task that only changes its state is written in place, without its
-- indexes, since none of them looks at the state.
-- Older workers may still run: yes

create index tasks_waiting on tasks (tenant_id, priority desc, id) where lease_until is null and finished_at is null;
create index tasks_held on tasks (tenant_id) where lease_until is not null;
create index attempts_by_tenant on attempts (tenant_id, leased_at);
-- Their statements look at the state alone, and go without these.
drop index tasks_to_lease;
drop index tasks_queued;

-- Room for the next states of a task beside it.
alter table tasks set (fillfactor = 70);
alter table attempts set (fillfactor = 70);
