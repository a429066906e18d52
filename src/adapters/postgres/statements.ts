/**
 * Every statement of the task store, each one transaction. Named parameters only; every write after a lease holds the fence in
 * its `where`. `clock_ms()` is the database's own clock, the one that all leases go by.
 */

/** No more are counted than count. */
const queuedOfTenant = `
  (select count(*) from (
    select 1 from tasks where tenant_id = :tenantId and state = 'QUEUED' limit :maxOfTenant::bigint) as waiting)`;

const queuedInAll =
  "(select count(*) from (select 1 from tasks where state = 'QUEUED' limit :maxInAll::bigint) as waiting)";

export const insertTask = `
  insert into tasks (tenant_id, task_id, request_sha256, request, state, priority, not_before_at, received_at, callback_url)
  select :tenantId, :taskId, :requestSha256, :request::bytea, 'QUEUED', :priority::smallint, :notBeforeAt::bigint, clock_ms(),
    :callbackUrl
  where ${queuedOfTenant} < :maxOfTenant::bigint
    and ${queuedInAll} < :maxInAll::bigint
  on conflict (tenant_id, task_id) do nothing
  returning true as inserted`;

export const countQueued = `select ${queuedOfTenant} as of_tenant, ${queuedInAll} as in_all`;

/** After the insert has been committed: a cancel either finds the task, or has left its stub by now. */
export const takeStub = `
  with stub as (
    delete from cancel_stubs where tenant_id = :tenantId and task_id = :taskId returning expires_at)
  update tasks set cancel_requested = true
  where tenant_id = :tenantId and task_id = :taskId and state <> 'FINISHED'
    and exists (select 1 from stub where expires_at > clock_ms())`;

export const selectTask = "select * from tasks where tenant_id = :tenantId and task_id = :taskId";

/** Null for `states` is every state, a null tenant every tenant. */
export const listTasks = `
  select * from tasks
  where (:tenantId::text is null or tenant_id = :tenantId)
    and (:states::text[] is null or state = any(:states))
    and (:olderTask::text is null
      or id < (select id from tasks where tenant_id = :olderTenant and task_id = :olderTask))
  order by id desc limit :limit`;

const isDue = "state = 'QUEUED' and (not_before_at is null or not_before_at <= clock_ms())";

const lease = (chosen: string): string => `
  with leased as (
    update tasks set state = 'LEASED', attempt = attempt + 1, lease_owner = :owner, lease_until = clock_ms() + :leaseMs
    where ${chosen}
    returning tenant_id, task_id, attempt),
  noted as (
    insert into attempts (tenant_id, task_id, number, owner, leased_at)
    select tenant_id, task_id, attempt, :owner, clock_ms() from leased)
  select * from leased`;

export const leaseTask = lease(`tenant_id = :tenantId and task_id = :taskId and ${isDue}`);

/**
 * The tenants that have something queued are found by jumping from one to the next. What another lease is taking at this moment is
 * passed over, not waited for: that is why of each tenant more than the first task is looked at.
 */
export const leaseNext = lease(`
  id = (
    with recursive tenants (name) as (
      (select tenant_id from tasks where state = 'QUEUED' order by tenant_id limit 1)
      union all
      select (select tenant_id from tasks where state = 'QUEUED' and tenant_id > name order by tenant_id limit 1)
      from tenants where name is not null),
    turns as (
      select name,
        (select count(*) from tasks
          where tenant_id = name and state in ('LEASED', 'STARTING', 'RUNNING', 'COLLECTING')) as held,
        (select max(leased_at) from attempts where tenant_id = name) as last_at
      from tenants where name is not null)
    select tasks.id
    from turns
    cross join lateral (
      select id as due_id from tasks where tenant_id = name and ${isDue} order by priority desc, id limit 32) as due
    join tasks on tasks.id = due_id and tasks.state = 'QUEUED'
    order by held, last_at nulls first, tasks.priority desc, tasks.id
    limit 1 for update of tasks skip locked)`);

const fenced = "tenant_id = :tenantId and task_id = :taskId and attempt = :number and lease_owner = :owner";

export const starting = `
  update tasks set state = 'STARTING' where ${fenced} and state = 'LEASED' returning true as written`;

export const running = `
  with written as (
    update tasks set state = 'RUNNING', sandbox_id = :sandboxId, started_at = clock_ms()
    where ${fenced} and state = 'STARTING'
    returning tenant_id, task_id, attempt, started_at)
  update attempts set sandbox_id = :sandboxId, deadline_at = :deadlineAt, started_at = written.started_at
  from written
  where attempts.tenant_id = written.tenant_id and attempts.task_id = written.task_id and number = attempt
  returning true as written`;

export const collecting = `
  update tasks set state = 'COLLECTING' where ${fenced} and state = 'RUNNING' returning true as written`;

export const renew = `
  update tasks set lease_until = clock_ms() + :leaseMs
  where ${fenced} and state <> 'FINISHED'
  returning cancel_requested`;

const endAttempt = `
  update attempts set ended_at = clock_ms(), ending = :ending
  from written
  where attempts.tenant_id = written.tenant_id and attempts.task_id = written.task_id
    and number = written.attempt and ended_at is null`;

/** As somebody has seen it held, by an owner or by nobody. */
const heldAsSeen = `
  tenant_id = :tenantId and task_id = :taskId and attempt = :number and lease_owner is not distinct from :owner
    and (not :leaseExpired or lease_until <= clock_ms())`;

const giveBack = (expected: string): string => `
  with written as (
    update tasks
    set state = 'QUEUED', lease_owner = null, lease_until = null, sandbox_id = null, started_at = null,
      strikes = strikes + :strike
    where ${expected} and state in ('LEASED', 'STARTING', 'RUNNING', 'COLLECTING')
    returning tenant_id, task_id, attempt),
  ended as (${endAttempt})
  select true as written from written`;

export const release = giveBack(fenced);

export const releaseLost = giveBack(heldAsSeen);

const end = (expected: string): string => `
  with written as (
    update tasks
    set state = 'FINISHED', lease_owner = null, lease_until = null, finished_at = clock_ms(), reason = :reason,
      result = :result
    where ${expected} and state <> 'FINISHED'
    returning tenant_id, task_id, attempt, callback_url),
  ended as (${endAttempt}),
  sent as (
    insert into outbox (kind, tenant_id, task_id, result_sha256, created_at)
    select kind, tenant_id, task_id, :sha256, clock_ms()
    from written,
      unnest(:kinds::text[] || case when callback_url is null then '{}'::text[] else '{callback}' end)
        with ordinality as kinds (kind, place)
    order by place)
  select true as written from written`;

export const finish = end(fenced);

export const finishUnleased = end(heldAsSeen);

export const listExpired = "select * from tasks where lease_until <= clock_ms() order by lease_until limit :limit";

export const adopt = `
  with adopted as (
    update tasks set lease_owner = :newOwner, lease_until = clock_ms() + :leaseMs
    where ${fenced} and state <> 'FINISHED'
    returning tenant_id, task_id, attempt)
  update attempts set owner = :newOwner
  from adopted
  where attempts.tenant_id = adopted.tenant_id and attempts.task_id = adopted.task_id and number = attempt
  returning true as written`;

/** What another relay is claiming at this moment is passed over. */
export const claimOutbox = `
  with chosen as (
    select id from outbox
    where published_at is null and kind <> 'callback' and claimed_until <= clock_ms()
    order by id limit :limit for update skip locked),
  claimed as (
    update outbox set claimed_until = clock_ms() + :claimMs
    from chosen where outbox.id = chosen.id
    returning outbox.*)
  select claimed.*, request, result, reason, attempt, received_at
  from claimed left join tasks using (tenant_id, task_id)
  order by claimed.id`;

export const claimCallbacks = `
  with chosen as (
    select id from outbox
    where kind = 'callback' and published_at is null and claimed_until <= clock_ms()
    order by claimed_until, id limit :limit for update skip locked),
  claimed as (
    update outbox set claimed_until = clock_ms() + :claimMs, tries = tries + 1
    from chosen where outbox.id = chosen.id
    returning outbox.*)
  select claimed.*, callback_url, result
  from claimed join tasks using (tenant_id, task_id)
  order by claimed.id`;

const isTried = "id = :id and kind = 'callback' and tries = :tries and published_at is null";

export const callbackLater = `
  update outbox set claimed_until = clock_ms() + :delayMs where ${isTried} returning true as written`;

export const callbackDead = `
  update outbox set kind = 'dead_letter', headers = :headers, claimed_until = 0
  where ${isTried}
  returning true as written`;

/** One that was given up has headers of its own, and no value: that is its task's result. */
export const callbackAgain = `
  update outbox set kind = 'callback', headers = null, claimed_until = 0, published_at = null, tries = 0
  where id = :id and kind = 'dead_letter' and task_id is not null and value is null and headers is not null
  returning true as written`;

export const keepLetter = `
  insert into outbox (kind, tenant_id, task_id, headers, value, created_at, published_at)
  values ('dead_letter', :tenantId, :taskId, :headers, :value, clock_ms(), clock_ms())`;

const letters = `
  from outbox left join tasks using (tenant_id, task_id)
  where kind = 'dead_letter' and (value is not null or request is not null)`;

export const listLetters = `
  select outbox.id, tenant_id, task_id, headers, outbox.created_at, reason, attempt, received_at
  ${letters}
    and (:tenantId::text is null or outbox.tenant_id = :tenantId)
    and (:olderThan::bigint is null or outbox.id < :olderThan)
  order by outbox.id desc limit :limit`;

export const selectLetter = `
  select outbox.*, request, result, reason, attempt, received_at ${letters} and outbox.id = :id`;

export const markPublished = `
  update outbox set published_at = clock_ms() where id = any(:ids::bigint[]) and published_at is null`;

export const outboxAge = `
  select clock_ms() - created_at as age from outbox
  where published_at is null and kind <> 'callback' order by id limit 1`;

export const republish = `
  insert into outbox (kind, tenant_id, task_id, result_sha256, created_at)
  select 'result', tenant_id, task_id, encode(sha256(result), 'hex'), clock_ms()
  from tasks
  where tenant_id = :tenantId and task_id = :taskId and state = 'FINISHED'
  for key share
  returning true as written`;

export const deadLetter = `
  insert into outbox (kind, headers, value, created_at) values ('dead_letter', :headers, :value, clock_ms())`;

/** A task that is taken in at this moment may be missed, as it may by whoever asks first. */
export const refuse = `
  with named as (
    select exists (select 1 from tasks where tenant_id = :tenantId and task_id = :taskId) as is_known)
  insert into outbox (kind, tenant_id, task_id, headers, value, result_sha256, created_at)
  select
    case when is_known then 'dead_letter' else 'result' end,
    case when is_known then :tenantId end,
    case when is_known then :taskId end,
    case when is_known then :headers::bytea end,
    case when is_known then :letter::bytea else :result::bytea end,
    case when is_known then null else :sha256 end,
    clock_ms()
  from named
  returning kind`;

export const requestCancel = `
  update tasks set cancel_requested = true
  where tenant_id = :tenantId and task_id = :taskId and state <> 'FINISHED'
  returning *`;

export const putStub = `
  with expired as (
    delete from cancel_stubs
    where expires_at <= clock_ms() and not (tenant_id = :tenantId and task_id = :taskId))
  insert into cancel_stubs (tenant_id, task_id, expires_at) values (:tenantId, :taskId, clock_ms() + :stubTtlMs)
  on conflict (tenant_id, task_id) do update set expires_at = greatest(cancel_stubs.expires_at, excluded.expires_at)`;

/** A message of the task that somebody is still to send. */
const hasUnsent = `
  exists (select 1 from outbox
    where outbox.tenant_id = tasks.tenant_id and outbox.task_id = tasks.task_id and published_at is null
      and kind <> all(:abandoned::text[]))`;

export const listOld = `
  select tasks.id, tenant_id, task_id, attempt, tasks.finished_at
  from tasks left join swept on what = :what
  where tasks.finished_at <= clock_ms() - :olderThanMs
    and (what is null or (tasks.finished_at, tasks.id) > (swept.finished_at, swept.id))
    and not ${hasUnsent}
  order by tasks.finished_at, tasks.id limit :limit`;

export const markSwept = `
  insert into swept (what, finished_at, id) values (:what, :finishedAt, :id)
  on conflict (what) do update set finished_at = excluded.finished_at, id = excluded.id
  where (excluded.finished_at, excluded.id) > (swept.finished_at, swept.id)`;

/** Nobody adds a message to these tasks until the transaction ends: {@link republish} waits here, too. */
export const lockFinished = `
  select id from tasks where id = any(:ids::bigint[]) and state = 'FINISHED' order by id for update`;

/** A statement of its own after {@link lockFinished}, so that it sees what was committed before the lock. */
export const forget = `
  with gone as (
    delete from tasks where id = any(:ids::bigint[]) and state = 'FINISHED' and not ${hasUnsent}
    returning tenant_id, task_id),
  ended as (
    delete from attempts using gone where attempts.tenant_id = gone.tenant_id and attempts.task_id = gone.task_id),
  sent as (
    delete from outbox using gone where outbox.tenant_id = gone.tenant_id and outbox.task_id = gone.task_id)
  select count(*) as count from gone`;

export const forgetSent = `
  with gone as (
    delete from outbox
    where id in (
      select id from outbox
      where published_at <= clock_ms() - :olderThanMs and kind = any(:kinds::text[])
      order by published_at limit :limit)
    returning true)
  select count(*) as count from gone`;
