import { lookedThrough } from "../../ports/task-store.ts";

/**
 * Every statement of the task store, each one transaction. Named parameters only; every write after a lease holds the fence in
 * its `where`. `clock_ms()` is the database's own clock, the one that all leases go by.
 */

/** As the index of what waits has it. */
const isQueued = "state = 'QUEUED' and lease_until is null and finished_at is null";

/** No more are counted than count. */
const queuedOf = (tenantId: string): string => `
  (select count(*) from (
    select 1 from tasks where tenant_id = ${tenantId} and ${isQueued} limit :maxOfTenant::bigint) as waiting)`;

const queuedInAll = `(select count(*) from (select 1 from tasks where ${isQueued} limit :maxInAll::bigint) as waiting)`;

const noneIsDue = `
  (select count(*) < ${lookedThrough} and not coalesce(bool_or(not_before_at is null or not_before_at <= clock_ms()), false)
  from (select not_before_at from tasks where ${isQueued} limit ${lookedThrough}) as waiting)`;

/**
 * Those of a lot that are new and find room. They have their ids in the order they came, and go in by their keys: two lots with the same
 * tasks, on two connections, never wait for each other. Those that have an owner begin at once, where they may.
 */
export const insertTasks = `
  with given as (
    select * from unnest(:tenantIds::text[], :taskIds::text[], :sha256s::text[], :starts::integer[], :lengths::integer[],
      :priorities::smallint[], :notBeforeAts::bigint[], :callbackUrls::text[], :owners::text[], :leasesMs::bigint[],
      :sandboxIds::text[], :deadlines::bigint[]) with ordinality
      as given (tenant_id, task_id, request_sha256, start, length, priority, not_before_at, callback_url, owner, lease_ms,
        sandbox_id, deadline_at, place)),
  queue as materialized (
    select ${queuedInAll} as in_all, ${noneIsDue} as none_is_due),
  tenants as materialized (
    select tenant_id, ${queuedOf("named.tenant_id")} as queued
    from (select distinct tenant_id from given) as named),
  placed as (
    select given.*, queued, row_number() over (partition by tenant_id order by place) as of_tenant
    from given join tenants using (tenant_id)),
  numbered as materialized (
    select nextval(pg_get_serial_sequence('tasks', 'id')) as id, placed.*,
      owner is not null and none_is_due and (not_before_at is null or not_before_at <= clock_ms())
        and not exists (
          select 1 from cancel_stubs
          where cancel_stubs.tenant_id = placed.tenant_id and cancel_stubs.task_id = placed.task_id
            and expires_at > clock_ms()) as begins
    from placed, queue
    where queued + of_tenant <= :maxOfTenant::bigint and in_all + place <= :maxInAll::bigint
    order by place),
  inserted as (
    insert into tasks (id, tenant_id, task_id, request_sha256, request, state, priority, not_before_at, received_at, callback_url,
      attempt, lease_owner, lease_until, sandbox_id, started_at)
    overriding system value
    select id, tenant_id, task_id, request_sha256, substr(:requests::bytea, start, length),
      case when begins then 'RUNNING' else 'QUEUED' end, priority, not_before_at, clock_ms(), callback_url, begins::integer,
      case when begins then owner end, case when begins then clock_ms() + lease_ms end, case when begins then sandbox_id end,
      case when begins then clock_ms() end
    from numbered order by tenant_id, task_id
    on conflict (tenant_id, task_id) do nothing
    returning tenant_id, task_id, attempt, lease_owner, lease_until, sandbox_id, received_at, started_at),
  noted as (
    insert into attempts (tenant_id, task_id, number, owner, leased_at, sandbox_id, deadline_at, started_at)
    select tenant_id, task_id, attempt, lease_owner, received_at, inserted.sandbox_id, given.deadline_at, started_at
    from inserted join given using (tenant_id, task_id)
    where attempt > 0)
  select * from inserted`;

/**
 * One task alone that begins at once: what {@link insertTasks} would do with it, for a third of what that costs. No row: something is in its
 * way, and that statement finds out what. What waits is counted in full where it is fewer than are looked through.
 */
export const beginTask = `
  with waiting as materialized (
    select tenant_id, not_before_at from tasks where ${isQueued} limit ${lookedThrough}),
  begun as (
    insert into tasks (tenant_id, task_id, request_sha256, request, state, priority, received_at, callback_url,
      attempt, lease_owner, lease_until, sandbox_id, started_at)
    select :tenantId, :taskId, :sha256, :request, 'RUNNING', :priority::smallint, now, :callbackUrl,
      1, :owner, now + :leaseMs::bigint, :sandboxId, now
    from (select clock_ms() as now) as clock
    where (
        select count(*) < least(${lookedThrough}, :maxInAll::bigint)
          and count(*) filter (where tenant_id = :tenantId) < :maxOfTenant::bigint
          and not coalesce(bool_or(not_before_at is null or not_before_at <= clock_ms()), false)
        from waiting)
      and not exists (
        select 1 from cancel_stubs where tenant_id = :tenantId and task_id = :taskId and expires_at > clock_ms())
    on conflict (tenant_id, task_id) do nothing
    returning tenant_id, task_id, received_at),
  noted as (
    insert into attempts (tenant_id, task_id, number, owner, leased_at, sandbox_id, deadline_at, started_at)
    select tenant_id, task_id, 1, :owner, received_at, :sandboxId, :deadlineAt::bigint, received_at from begun)
  select received_at from begun`;

export const countQueued = `select ${queuedOf(":tenantId")} as of_tenant, ${queuedInAll} as in_all`;

const givenKeys = "given as (select * from unnest(:tenantIds::text[], :taskIds::text[]) as given (tenant_id, task_id))";

/** After the insert has been committed: a cancel either finds the task, or has left its stub by now. */
export const takeStubs = `
  with ${givenKeys},
  stubs as (
    delete from cancel_stubs using given
    where cancel_stubs.tenant_id = given.tenant_id and cancel_stubs.task_id = given.task_id
    returning cancel_stubs.tenant_id, cancel_stubs.task_id, expires_at)
  update tasks set cancel_requested = true
  from stubs
  where tasks.tenant_id = stubs.tenant_id and tasks.task_id = stubs.task_id and state <> 'FINISHED'
    and expires_at > clock_ms()`;

export const selectTask = "select * from tasks where tenant_id = :tenantId and task_id = :taskId";

/** Null for `states` is every state, a null tenant every tenant. */
export const listTasks = `
  select * from tasks
  where (:tenantId::text is null or tenant_id = :tenantId)
    and (:states::text[] is null or state = any(:states))
    and (:olderTask::text is null
      or id < (select id from tasks where tenant_id = :olderTenant and task_id = :olderTask))
  order by id desc limit :limit`;

const isDue = `${isQueued} and (not_before_at is null or not_before_at <= clock_ms())`;

/**
 * A column that lets this transaction come to the disk with the next that waits for it, the one that says that a task runs at the latest. A
 * server that dies before loses both or neither, and nothing has been done by then.
 */
const unhurried = "set_config('synchronous_commit', 'off', true)";

const lease = (chosen: string): string => `
  with ${chosen},
  leased as (
    update tasks set state = 'LEASED', attempt = attempt + 1, lease_owner = :owner, lease_until = clock_ms() + :leaseMs
    from chosen
    where tasks.id = chosen.id
    returning tasks.*),
  noted as (
    insert into attempts (tenant_id, task_id, number, owner, leased_at)
    select tenant_id, task_id, attempt, :owner, clock_ms() from leased)
  select *, ${unhurried} from leased`;

export const leaseTask = lease(`
  chosen as (
    select id from tasks where tenant_id = :tenantId and task_id = :taskId and ${isDue} for update)`);

/**
 * The tenants that have something queued are found by jumping from one to the next. Of several leases at once each counts as held for the
 * next. What another lease is taking at this moment is passed over, not waited for: that is why of each tenant more tasks are looked at.
 */
export const leaseNext = lease(`
  recursive tenants (name) as (
    (select tenant_id from tasks where ${isQueued} order by tenant_id limit 1)
    union all
    select (select tenant_id from tasks where ${isQueued} and tenant_id > name order by tenant_id limit 1)
    from tenants where name is not null),
  turns as materialized (
    select name,
      (select count(*) from tasks where tenant_id = name and lease_until is not null) as held,
      (select max(leased_at) from attempts where tenant_id = name) as last_at
    from tenants where name is not null),
  chosen as (
    select tasks.id
    from turns
    cross join lateral (
      select id as due_id, row_number() over (order by priority desc, id) as place
      from tasks where tenant_id = name and ${isDue} order by priority desc, id limit :count::bigint + 32) as due
    join tasks on tasks.id = due_id and tasks.state = 'QUEUED'
    order by held + place, held desc, last_at nulls first, tasks.priority desc, tasks.id
    limit :count::bigint for update of tasks skip locked)`);

const fenced = "tenant_id = :tenantId and task_id = :taskId and attempt = :number and lease_owner = :owner";

/** What steps are taken, or ends written, for: a lot of attempts, each under its own fence. */
const givenAttempts = (more = "", columns = ""): string => `
  given as (
    select * from unnest(:tenantIds::text[], :taskIds::text[], :numbers::integer[], :owners::text[]${more})
      as given (tenant_id, task_id, number, owner${columns}))`;

const fencedLot = `
  tasks.tenant_id = given.tenant_id and tasks.task_id = given.task_id and attempt = given.number
    and lease_owner = given.owner`;

const lotStep = (from: string, to: string): string => `
  with ${givenAttempts()}
  update tasks set state = '${to}' from given
  where ${fencedLot} and state = '${from}'
  returning tasks.tenant_id, tasks.task_id, ${unhurried}`;

export const starting = lotStep("LEASED", "STARTING");

export const running = `
  with ${givenAttempts(", :sandboxIds::text[], :deadlines::bigint[]", ", sandbox_id, deadline_at")},
  written as (
    update tasks set state = 'RUNNING', sandbox_id = given.sandbox_id, started_at = clock_ms()
    from given
    where ${fencedLot} and state = 'STARTING'
    returning tasks.tenant_id, tasks.task_id, attempt, tasks.sandbox_id, given.deadline_at, tasks.started_at)
  update attempts set sandbox_id = written.sandbox_id, deadline_at = written.deadline_at, started_at = written.started_at
  from written
  where attempts.tenant_id = written.tenant_id and attempts.task_id = written.task_id and number = attempt
  returning attempts.tenant_id, attempts.task_id`;

export const collecting = lotStep("RUNNING", "COLLECTING");

/** What is being written at this moment is passed over: who holds many locks and waits for one more could be waited for. */
export const renewLot = `
  with ${givenAttempts(", :leaseMs::bigint[]", ", lease_ms")},
  chosen as (
    select tasks.id, lease_ms from given join tasks on ${fencedLot} where state <> 'FINISHED'
    for update of tasks skip locked)
  update tasks set lease_until = clock_ms() + lease_ms
  from chosen
  where tasks.id = chosen.id
  returning tenant_id, task_id, cancel_requested`;

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

/** What goes out of the ends that were written. */
const sent = (sha256: string, isDead: string): string => `
  sent as (
    insert into outbox (kind, tenant_id, task_id, result_sha256, created_at)
    select kind, tenant_id, task_id, ${sha256}, clock_ms()
    from written
    cross join lateral (
      values (1, 'result', true), (2, 'dead_letter', ${isDead}), (3, 'callback', callback_url is not null))
      as kinds (place, kind, is_sent)
    where is_sent
    order by tenant_id, task_id, place)`;

const end = (given: string, expected: string): string => `
  with ${given},
  written as (
    update tasks
    set state = 'FINISHED', lease_owner = null, lease_until = null, finished_at = clock_ms(), reason = given.reason,
      result = substr(:results::bytea, given.start, given.length)
    from given
    where ${expected} and state <> 'FINISHED'
    returning tasks.tenant_id, tasks.task_id, attempt, callback_url, given.sha256, given.is_dead),
  ended as (${endAttempt}),
  ${sent("sha256", "is_dead")}
  select tenant_id, task_id from written`;

const givenEnds = givenAttempts(
  ", :reasons::text[], :starts::integer[], :lengths::integer[], :sha256s::text[], :areDead::boolean[]",
  ", reason, start, length, sha256, is_dead",
);

export const finish = end(givenEnds, fencedLot);

/** One end alone: what {@link finish} does, for less. */
export const finishOne = `
  with written as (
    update tasks
    set state = 'FINISHED', lease_owner = null, lease_until = null, finished_at = clock_ms(), reason = :reason, result = :result
    where ${fenced} and state <> 'FINISHED'
    returning tenant_id, task_id, attempt, callback_url),
  ended as (${endAttempt}),
  ${sent(":sha256", ":isDead::boolean")}
  select tenant_id, task_id from written`;

export const finishUnleased = end(
  givenEnds,
  `tasks.tenant_id = given.tenant_id and tasks.task_id = given.task_id and attempt = given.number
    and lease_owner is not distinct from given.owner and (not :leaseExpired or lease_until <= clock_ms())`,
);

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

/**
 * What another relay is claiming at this moment is passed over. A server that dies before the claim is on its disk has it claimed, and sent,
 * once more.
 */
export const claimOutbox = `
  with chosen as (
    select id from outbox
    where published_at is null and kind <> 'callback' and claimed_until <= clock_ms()
    order by id limit :limit for update skip locked),
  claimed as (
    update outbox set claimed_until = clock_ms() + :claimMs
    from chosen where outbox.id = chosen.id
    returning outbox.*)
  select claimed.*, case when kind = 'dead_letter' then request end as request, result, reason, attempt, received_at,
    ${unhurried}
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

/** As with a claim: what is not marked after all is sent once more, the same bytes. */
export const markPublished = `
  update outbox set published_at = clock_ms() where id = any(:ids::bigint[]) and published_at is null
  returning ${unhurried}`;

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

export const insertAudit = `
  insert into audit (at, tenant_id, task_id, attempt, kind, detail)
  select (each->>'at')::bigint, each->>'tenantId', each->>'taskId', (each->>'attempt')::integer, each->>'kind', each->'detail'
  from jsonb_array_elements(:records::jsonb) with ordinality as given(each, place) order by place`;

export const listAudit = `
  select at, attempt, kind, detail from audit where tenant_id = :tenantId and task_id = :taskId order by id limit :limit`;

export const forgetAudit = `
  with gone as (
    delete from audit
    where id in (select id from audit where at <= clock_ms() - :olderThanMs order by at limit :limit)
    returning true)
  select count(*) as count from gone`;
