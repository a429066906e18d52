import { lookedThrough } from "../../ports/task-store.ts";

/** Every statement of the task store. Named parameters only; every write after a lease holds the fence in its `where`. */

export const insertTask = `
  insert into tasks (tenant_id, task_id, request_sha256, request, state, priority, not_before_at, received_at, callback_url,
    attempt, lease_owner, lease_until, sandbox_id, started_at, cancel_requested)
  select :tenantId, :taskId, :requestSha256, :request, :state, :priority, :notBeforeAt, :now, :callbackUrl,
    :attempt, :owner, :leaseUntil, :sandboxId, :startedAt,
    exists (select 1 from cancel_stubs where tenant_id = :tenantId and task_id = :taskId and expires_at > :now)
  where true
  on conflict (tenant_id, task_id) do nothing`;

/** No more are counted than count. */
export const countOfTenant = `
  select count(*) as waiting
  from (select 1 from tasks where tenant_id = :tenantId and state = 'QUEUED' limit :maxOfTenant)`;

export const countInAll =
  "select count(*) as waiting from (select 1 from tasks where state = 'QUEUED' limit :maxInAll)";

/** Whether a task that is not there yet need wait for no other, and nobody wants it cancelled. */
export const isNext = `
  select count(*) < ${lookedThrough} and total(not_before_at is null or not_before_at <= :now) = 0
    and not exists (select 1 from cancel_stubs where tenant_id = :tenantId and task_id = :taskId and expires_at > :now)
    as is_next
  from (select not_before_at from tasks where state = 'QUEUED' limit ${lookedThrough})`;

export const selectTask = "select * from tasks where tenant_id = :tenantId and task_id = :taskId";

/** `states` is a JSON array; null is every state, a null tenant every tenant, and a null `olderTask` any age. */
export const listTasks = `
  select * from tasks
  where (:tenantId is null or tenant_id = :tenantId)
    and (:states is null or state in (select value from json_each(:states)))
    and (:olderTask is null
      or id < (select id from tasks where tenant_id = :olderTenant and task_id = :olderTask))
  order by id desc limit :limit`;

export const leaseTask = `
  update tasks set state = 'LEASED', attempt = attempt + 1, lease_owner = :owner, lease_until = :leaseUntil
  where tenant_id = :tenantId and task_id = :taskId
    and state = 'QUEUED' and (not_before_at is null or not_before_at <= :now)
  returning tenant_id, task_id, attempt`;

/**
 * The tenants that have something queued are found by jumping from one to the next in `tasks_by_tenant`: each costs a look or two,
 * however many tasks it has.
 */
export const leaseNext = `
  update tasks set state = 'LEASED', attempt = attempt + 1, lease_owner = :owner, lease_until = :leaseUntil
  where id = (
    with recursive tenants (name) as (
      select min(tenant_id) from tasks where state = 'QUEUED'
      union all
      select (select min(tenant_id) from tasks where state = 'QUEUED' and tenant_id > name)
      from tenants where name is not null),
    heads (first, held, last_at) as (
      select
        (select id from tasks
          where tenant_id = name and state = 'QUEUED' and (not_before_at is null or not_before_at <= :now)
          order by priority desc, id limit 1),
        (select count(*) from tasks
          where tenant_id = name and state in ('LEASED', 'STARTING', 'RUNNING', 'COLLECTING')),
        (select max(leased_at) from attempts where tenant_id = name)
      from tenants where name is not null)
    select first from heads join tasks on id = first
    order by held, last_at nulls first, priority desc, id limit 1)
  returning tenant_id, task_id, attempt`;

export const insertAttempt = `
  insert into attempts (tenant_id, task_id, number, owner, leased_at)
  values (:tenantId, :taskId, :number, :owner, :now)`;

export const insertBegun = `
  insert into attempts (tenant_id, task_id, number, owner, leased_at, sandbox_id, deadline_at, started_at)
  values (:tenantId, :taskId, 1, :owner, :now, :sandboxId, :deadlineAt, :now)`;

const fenced = "tenant_id = :tenantId and task_id = :taskId and attempt = :number and lease_owner = :owner";

export const starting = `update tasks set state = 'STARTING' where ${fenced} and state = 'LEASED'`;

export const running = `
  update tasks set state = 'RUNNING', sandbox_id = :sandboxId, started_at = :now
  where ${fenced} and state = 'STARTING'`;

export const attemptRunning = `
  update attempts set sandbox_id = :sandboxId, deadline_at = :deadlineAt, started_at = :now
  where tenant_id = :tenantId and task_id = :taskId and number = :number`;

export const collecting = `update tasks set state = 'COLLECTING' where ${fenced} and state = 'RUNNING'`;

export const renew = `
  update tasks set lease_until = :leaseUntil
  where ${fenced} and state <> 'FINISHED'
  returning cancel_requested`;

/** As somebody has seen it held, by an owner or by nobody. */
const heldAsSeen = `
  tenant_id = :tenantId and task_id = :taskId and attempt = :number and lease_owner is :owner
    and (not :leaseExpired or lease_until <= :now)`;

const giveBack = (expected: string): string => `
  update tasks
  set state = 'QUEUED', lease_owner = null, lease_until = null, sandbox_id = null, started_at = null, strikes = strikes + :strike
  where ${expected} and state in ('LEASED', 'STARTING', 'RUNNING', 'COLLECTING')`;

export const release = giveBack(fenced);

export const releaseLost = giveBack(heldAsSeen);

const finished = `
  state = 'FINISHED', lease_owner = null, lease_until = null, finished_at = :now, reason = :reason, result = :result`;

export const finish = `update tasks set ${finished} where ${fenced} and state <> 'FINISHED'`;

export const finishUnleased = `
  update tasks set ${finished}
  where ${heldAsSeen} and state <> 'FINISHED'`;

export const listExpired = "select * from tasks where lease_until <= :now order by lease_until limit :limit";

export const adopt = `
  update tasks set lease_owner = :newOwner, lease_until = :leaseUntil
  where ${fenced} and state <> 'FINISHED'`;

export const adoptAttempt = `
  update attempts set owner = :newOwner
  where tenant_id = :tenantId and task_id = :taskId and number = :number`;

export const endAttempt = `
  update attempts set ended_at = :now, ending = :ending
  where tenant_id = :tenantId and task_id = :taskId and number = :number and ended_at is null`;

export const insertOutbox = `
  insert into outbox (kind, tenant_id, task_id, result_sha256, created_at) values (:kind, :tenantId, :taskId, :sha256, :now)`;

/** For a task that wants one. */
export const insertCallback = `
  insert into outbox (kind, tenant_id, task_id, result_sha256, created_at)
  select 'callback', tenant_id, task_id, :sha256, :now from tasks
  where tenant_id = :tenantId and task_id = :taskId and callback_url is not null`;

export const claimCallbacks = `
  update outbox set claimed_until = :claimedUntil, tries = tries + 1
  where id in (
    select id from outbox
    where kind = 'callback' and published_at is null and claimed_until <= :now
    order by claimed_until, id limit :limit)
  returning id`;

/** \`ids\` is a JSON array. */
export const selectCallbacks = `
  select outbox.*, callback_url, result
  from outbox join tasks using (tenant_id, task_id)
  where outbox.id in (select value from json_each(:ids))
  order by outbox.id`;

const isTried = "id = :id and kind = 'callback' and tries = :tries and published_at is null";

export const callbackLater = `update outbox set claimed_until = :dueAt where ${isTried}`;

export const callbackDead = `
  update outbox set kind = 'dead_letter', headers = :headers, claimed_until = 0 where ${isTried}`;

/** One that was given up has headers of its own, and no value: that is its task's result. */
export const callbackAgain = `
  update outbox set kind = 'callback', headers = null, claimed_until = 0, published_at = null, tries = 0
  where id = :id and kind = 'dead_letter' and task_id is not null and value is null and headers is not null`;

export const keepLetter = `
  insert into outbox (kind, tenant_id, task_id, headers, value, created_at, published_at)
  values ('dead_letter', :tenantId, :taskId, :headers, :value, :now, :now)`;

const letters = `
  from outbox left join tasks using (tenant_id, task_id)
  where kind = 'dead_letter' and (value is not null or request is not null)`;

export const listLetters = `
  select outbox.id, tenant_id, task_id, headers, outbox.created_at, reason, attempt, received_at
  ${letters} and (:tenantId is null or outbox.tenant_id = :tenantId) and (:olderThan is null or outbox.id < :olderThan)
  order by outbox.id desc limit :limit`;

export const selectLetter = `
  select outbox.*, request, result, reason, attempt, received_at ${letters} and outbox.id = :id`;

export const insertDeadLetter = `
  insert into outbox (kind, headers, value, created_at) values ('dead_letter', :headers, :value, :now)`;

export const insertRefusal = `
  insert into outbox (kind, value, result_sha256, created_at) values ('result', :value, :sha256, :now)`;

export const insertLetter = `
  insert into outbox (kind, tenant_id, task_id, headers, value, created_at)
  values ('dead_letter', :tenantId, :taskId, :headers, :value, :now)`;

export const claimOutbox = `
  update outbox set claimed_until = :claimedUntil
  where id in (
    select id from outbox
    where published_at is null and kind <> 'callback' and claimed_until <= :now
    order by id limit :limit)
  returning id`;

/** \`ids\` is a JSON array. */
export const selectOutbox = `
  select outbox.*, request, result, reason, attempt, received_at
  from outbox left join tasks using (tenant_id, task_id)
  where outbox.id in (select value from json_each(:ids))
  order by outbox.id`;

/** \`ids\` is a JSON array. */
export const markPublished = `
  update outbox set published_at = :now
  where id in (select value from json_each(:ids)) and published_at is null`;

export const oldestWaiting =
  "select created_at from outbox where published_at is null and kind <> 'callback' order by id limit 1";

export const requestCancel = `
  update tasks set cancel_requested = 1
  where tenant_id = :tenantId and task_id = :taskId and state <> 'FINISHED'`;

export const putStub = `
  insert into cancel_stubs (tenant_id, task_id, expires_at) values (:tenantId, :taskId, :expiresAt)
  on conflict (tenant_id, task_id) do update set expires_at = max(expires_at, excluded.expires_at)`;

export const dropStub = "delete from cancel_stubs where tenant_id = :tenantId and task_id = :taskId";

export const dropExpiredStubs = "delete from cancel_stubs where expires_at <= :now";

/** A message of the task that somebody is still to send. `abandoned` is a JSON array of kinds. */
const hasUnsent = `
  exists (select 1 from outbox
    where outbox.tenant_id = tasks.tenant_id and outbox.task_id = tasks.task_id and published_at is null
      and kind not in (select value from json_each(:abandoned)))`;

export const selectSwept = "select finished_at, id from swept where what = :what";

export const listOld = `
  select id, tenant_id, task_id, attempt, finished_at from tasks
  where finished_at <= :endedBy and (finished_at, id) > (:sweptAt, :sweptId) and not ${hasUnsent}
  order by finished_at, id limit :limit`;

export const markSwept = `
  insert into swept (what, finished_at, id) values (:what, :finishedAt, :id)
  on conflict (what) do update set finished_at = excluded.finished_at, id = excluded.id
  where (excluded.finished_at, excluded.id) > (swept.finished_at, swept.id)`;

export const forgetTask = `
  delete from tasks where tenant_id = :tenantId and task_id = :taskId and id = :id and state = 'FINISHED' and not ${hasUnsent}`;

export const forgetAttempts = "delete from attempts where tenant_id = :tenantId and task_id = :taskId";

export const forgetMessages = "delete from outbox where tenant_id = :tenantId and task_id = :taskId";

/** `kinds` is a JSON array. */
export const forgetSent = `
  delete from outbox
  where id in (
    select id from outbox
    where published_at <= :sentBy and kind in (select value from json_each(:kinds))
    order by published_at limit :limit)`;

export const insertAudit = `
  insert into audit (at, tenant_id, task_id, attempt, kind, detail)
  values (:at, :tenantId, :taskId, :attempt, :kind, :detail)`;

export const listAudit = `
  select at, attempt, kind, detail from audit where tenant_id = :tenantId and task_id = :taskId order by id limit :limit`;

export const forgetAudit = `
  delete from audit where id in (select id from audit where at <= :decidedBy order by at limit :limit)`;
