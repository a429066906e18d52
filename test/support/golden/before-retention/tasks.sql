-- What a server of the version before retention left in tasks.db.
CREATE TABLE attempts (
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
CREATE TABLE cancel_stubs (
  tenant_id text not null,
  task_id text not null,
  expires_at integer not null,
  primary key (tenant_id, task_id)
) strict, without rowid;
CREATE TABLE "outbox" (
  id integer primary key autoincrement,
  kind text not null,
  tenant_id text,
  task_id text,
  -- JSON, where they do not follow from the task.
  headers text,
  -- Without one the row stands for bytes of its task, which no longer change: the result, or for a dead letter the request.
  value blob,
  result_sha256 text,
  created_at integer not null,
  -- Until then one relay has it.
  claimed_until integer not null default 0,
  published_at integer
, tries integer not null default 0) strict;
CREATE TABLE tasks (
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
  result blob, callback_url text,
  unique (tenant_id, task_id)
) strict;
CREATE INDEX attempts_by_tenant on attempts (tenant_id, leased_at);
CREATE INDEX cancel_stubs_by_age on cancel_stubs (expires_at);
CREATE INDEX outbox_callbacks on outbox (claimed_until) where kind = 'callback' and published_at is null;
CREATE INDEX outbox_letters on outbox (id) where kind = 'dead_letter';
CREATE INDEX outbox_waiting on outbox (id) where published_at is null;
CREATE INDEX tasks_by_tenant on tasks (tenant_id, priority desc, id) where state = 'QUEUED';
CREATE INDEX tasks_held on tasks (tenant_id) where state in ('LEASED', 'STARTING', 'RUNNING', 'COLLECTING');
CREATE INDEX tasks_leased on tasks (lease_until) where lease_until is not null;
CREATE INDEX tasks_unfinished on tasks (id) where state <> 'FINISHED';
insert into attempts (tenant_id, task_id, number, owner, leased_at, started_at, sandbox_id, deadline_at, ended_at, ending) values ('acme', 't-running', 1, 'aa:bb:1:1', 1767225600002, 1767225600003, 'box', 1767225601003, null, null);
insert into attempts (tenant_id, task_id, number, owner, leased_at, started_at, sandbox_id, deadline_at, ended_at, ending) values ('acme', 't-sent', 1, 'aa:bb:1:1', 1767225600005, null, null, null, 1767225600006, 'finished');
insert into attempts (tenant_id, task_id, number, owner, leased_at, started_at, sandbox_id, deadline_at, ended_at, ending) values ('acme', 't-waits', 1, 'aa:bb:1:1', 1767225600010, null, null, null, 1767225600011, 'finished');
insert into cancel_stubs (tenant_id, task_id, expires_at) values ('acme', 't-to-come', 1767226500013);
insert into outbox (id, kind, tenant_id, task_id, headers, value, result_sha256, created_at, claimed_until, published_at, tries) values (1, 'result', 'acme', 't-sent', null, null, 'f0258eb33655cdafb7e70bdff16d78c1156e9dfa881cda6548e7be79a2100c11', 1767225600006, 1767225600008, 1767225600008, 0);
insert into outbox (id, kind, tenant_id, task_id, headers, value, result_sha256, created_at, claimed_until, published_at, tries) values (2, 'result', 'acme', 't-waits', null, null, 'c227a966aa15b6db0d989f8bb9f838897763385189aceff6d0727cc1fab456ed', 1767225600011, 0, null, 0);
insert into outbox (id, kind, tenant_id, task_id, headers, value, result_sha256, created_at, claimed_until, published_at, tries) values (3, 'dead_letter', 'acme', 't-waits', null, null, 'c227a966aa15b6db0d989f8bb9f838897763385189aceff6d0727cc1fab456ed', 1767225600011, 0, null, 0);
insert into outbox (id, kind, tenant_id, task_id, headers, value, result_sha256, created_at, claimed_until, published_at, tries) values (4, 'callback', 'acme', 't-waits', null, null, 'c227a966aa15b6db0d989f8bb9f838897763385189aceff6d0727cc1fab456ed', 1767225600011, 0, null, 0);
insert into outbox (id, kind, tenant_id, task_id, headers, value, result_sha256, created_at, claimed_until, published_at, tries) values (5, 'dead_letter', null, null, '{"dlq-reason":"validation","dlq-stage":"intake"}', x'6e6f74206a736f6e', null, 1767225600012, 0, null, 0);
insert into tasks (id, tenant_id, task_id, request_sha256, request, state, attempt, strikes, lease_owner, lease_until, cancel_requested, priority, not_before_at, received_at, started_at, finished_at, sandbox_id, reason, result, callback_url) values (1, 'acme', 't-queued', 'ab3a8048861c5616a53e56cd1d3f829e0464597c8e8695721ce89c95c6bd73b9', '{"schema_version":1,"task_id":"t-queued","tenant_id":"acme","persona":null,"tool_name":"shell","payload":{"command":"true"},"files":[{"path":"in.csv","executable":false,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}],"stdin":null,"limits":{"timeout_seconds":30,"cpus":1,"memory_mb":256,"pids":128,"disk_mb":128,"output_mb":64,"inodes":8192,"log_mb":16},"env":{"MODE":"ci"},"image":null,"runtime":null,"priority":5,"retry":"safe","not_before":null,"expires_at":null,"callback_url":null,"metadata":{}}', 'QUEUED', 0, 0, null, null, 0, 5, null, 1767225600000, null, null, null, null, null, null);
insert into tasks (id, tenant_id, task_id, request_sha256, request, state, attempt, strikes, lease_owner, lease_until, cancel_requested, priority, not_before_at, received_at, started_at, finished_at, sandbox_id, reason, result, callback_url) values (2, 'acme', 't-running', '453d606a844894bf96193ae76e3b142907ba9879334832e3824ff455395104c6', '{"schema_version":1,"task_id":"t-running","tenant_id":"acme","persona":null,"tool_name":"shell","payload":{"command":"true"},"files":[],"stdin":null,"limits":{"timeout_seconds":30,"cpus":1,"memory_mb":256,"pids":128,"disk_mb":128,"output_mb":64,"inodes":8192,"log_mb":16},"env":{},"image":null,"runtime":null,"priority":5,"retry":"safe","not_before":null,"expires_at":null,"callback_url":null,"metadata":{}}', 'RUNNING', 1, 0, 'aa:bb:1:1', 1767225610002, 0, 5, null, 1767225600001, 1767225600003, null, 'box', null, null, null);
insert into tasks (id, tenant_id, task_id, request_sha256, request, state, attempt, strikes, lease_owner, lease_until, cancel_requested, priority, not_before_at, received_at, started_at, finished_at, sandbox_id, reason, result, callback_url) values (3, 'acme', 't-sent', '1668a5af2e140c6b3690609679b5af7acb0c7f0110d709b4e4f216c5cdb7d514', '{"schema_version":1,"task_id":"t-sent","tenant_id":"acme","persona":null,"tool_name":"shell","payload":{"command":"true"},"files":[],"stdin":null,"limits":{"timeout_seconds":30,"cpus":1,"memory_mb":256,"pids":128,"disk_mb":128,"output_mb":64,"inodes":8192,"log_mb":16},"env":{},"image":null,"runtime":null,"priority":5,"retry":"safe","not_before":null,"expires_at":null,"callback_url":null,"metadata":{}}', 'FINISHED', 1, 0, null, null, 0, 5, null, 1767225600004, null, 1767225600006, null, 'ok', x'7b22736368656d615f76657273696f6e223a312c227461736b5f6964223a22742d73656e74222c2274656e616e745f6964223a2261636d65222c22746f6f6c5f6e616d65223a227368656c6c222c22737461747573223a2273756363657373222c22726561736f6e223a226f6b222c22657869745f636f6465223a302c227369676e616c223a6e756c6c2c226572726f72223a6e756c6c2c226f7574707574223a7b2276616c7565223a6e756c6c2c227374646f7574223a22222c22737464657272223a22222c227374646f75745f656e636f64696e67223a227574662d38222c227374646572725f656e636f64696e67223a227574662d38222c227374646f75745f6279746573223a302c227374646572725f6279746573223a302c227472756e6361746564223a66616c73652c22726573756c7473223a5b5d2c22617274696661637473223a5b5d2c226172746966616374735f6f626a656374223a6e756c6c2c226c6f67735f6f626a656374223a6e756c6c7d2c226d657472696373223a7b2271756575655f6d73223a312c2273746172745f6d73223a322c2272756e5f6d73223a332c226475726174696f6e5f6d73223a362c226370755f6d73223a6e756c6c2c226d656d6f72795f7065616b5f6279746573223a6e756c6c2c22706964735f7065616b223a6e756c6c2c226567726573735f6279746573223a6e756c6c2c22736f75726365223a6e756c6c7d2c22656772657373223a5b5d2c2273616e64626f78223a7b22696d616765223a227368656c6c222c22696d6167655f6964223a227368613235363a30222c2272756e74696d65223a2272756e63222c227761726d223a66616c73652c226c696d697473223a7b2274696d656f75745f7365636f6e6473223a33302c2263707573223a312c226d656d6f72795f6d62223a3235362c2270696473223a3132382c226469736b5f6d62223a3132382c226f75747075745f6d62223a36342c22696e6f646573223a383139322c226c6f675f6d62223a31367d7d2c22617474656d7074223a312c2274726163655f6964223a6e756c6c2c226d65746164617461223a7b7d7d', null);
insert into tasks (id, tenant_id, task_id, request_sha256, request, state, attempt, strikes, lease_owner, lease_until, cancel_requested, priority, not_before_at, received_at, started_at, finished_at, sandbox_id, reason, result, callback_url) values (4, 'acme', 't-waits', '08035d8242c10263a6ae6c68945ace333b3eb2e28e3e33912052802ffb2846ab', '{"schema_version":1,"task_id":"t-waits","tenant_id":"acme","persona":null,"tool_name":"shell","payload":{"command":"true"},"files":[],"stdin":null,"limits":{"timeout_seconds":30,"cpus":1,"memory_mb":256,"pids":128,"disk_mb":128,"output_mb":64,"inodes":8192,"log_mb":16},"env":{},"image":null,"runtime":null,"priority":5,"retry":"safe","not_before":null,"expires_at":null,"callback_url":"https://hooks.example/1","metadata":{}}', 'FINISHED', 1, 0, null, null, 0, 5, null, 1767225600009, null, 1767225600011, null, 'image', x'7b22736368656d615f76657273696f6e223a312c227461736b5f6964223a22742d7761697473222c2274656e616e745f6964223a2261636d65222c22746f6f6c5f6e616d65223a227368656c6c222c22737461747573223a226661696c6564222c22726561736f6e223a22696d616765222c22657869745f636f6465223a302c227369676e616c223a6e756c6c2c226572726f72223a7b22636f6465223a22696d616765222c226d657373616765223a22676f6e65222c2268696e74223a6e756c6c2c22726574727961626c65223a747275652c2264657461696c73223a5b5d7d2c226f7574707574223a7b2276616c7565223a6e756c6c2c227374646f7574223a22222c22737464657272223a22222c227374646f75745f656e636f64696e67223a227574662d38222c227374646572725f656e636f64696e67223a227574662d38222c227374646f75745f6279746573223a302c227374646572725f6279746573223a302c227472756e6361746564223a66616c73652c22726573756c7473223a5b5d2c22617274696661637473223a5b5d2c226172746966616374735f6f626a656374223a6e756c6c2c226c6f67735f6f626a656374223a6e756c6c7d2c226d657472696373223a7b2271756575655f6d73223a312c2273746172745f6d73223a322c2272756e5f6d73223a332c226475726174696f6e5f6d73223a362c226370755f6d73223a6e756c6c2c226d656d6f72795f7065616b5f6279746573223a6e756c6c2c22706964735f7065616b223a6e756c6c2c226567726573735f6279746573223a6e756c6c2c22736f75726365223a6e756c6c7d2c22656772657373223a5b5d2c2273616e64626f78223a7b22696d616765223a227368656c6c222c22696d6167655f6964223a227368613235363a30222c2272756e74696d65223a2272756e63222c227761726d223a66616c73652c226c696d697473223a7b2274696d656f75745f7365636f6e6473223a33302c2263707573223a312c226d656d6f72795f6d62223a3235362c2270696473223a3132382c226469736b5f6d62223a3132382c226f75747075745f6d62223a36342c22696e6f646573223a383139322c226c6f675f6d62223a31367d7d2c22617474656d7074223a312c2274726163655f6964223a6e756c6c2c226d65746164617461223a7b7d7d', 'https://hooks.example/1');
pragma user_version = 4;
pragma application_id = 1953460088;
