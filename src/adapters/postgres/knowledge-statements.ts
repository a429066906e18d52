/** What the knowledge base asks of the database; every statement names the tenant. */

/** Its index of words has no other way to be read, which the settings of our sessions shut. */
export const byWords = "set local enable_bitmapscan = on";

/** No row: the same document is there. */
export const putDocument = `
  insert into knowledge_documents as d
    (tenant_id, collection, path, title, tags, source, digest, passage_count, word_count, changed_at)
  values
    (:tenantId, :collection, :path, :title, :tags, :source, :digest, :passageCount, :wordCount, clock_ms())
  on conflict (tenant_id, collection, path) do update set
    title = excluded.title, tags = excluded.tags, source = excluded.source, digest = excluded.digest,
    passage_count = excluded.passage_count, word_count = excluded.word_count, changed_at = excluded.changed_at
  where d.digest <> excluded.digest
  returning id, xmax = 0 as is_new`;

export const dropPassages = "delete from knowledge_passages where document_id = :id";

export const insertPassages = `
  insert into knowledge_passages (document_id, tenant_id, ordinal, heading, line, text, word_count, words)
  select :id::bigint, :tenantId::text, ordinal, heading, line, text, word_count, words::tsvector
  from json_to_recordset(:passages::json)
    as given (ordinal integer, heading text, line integer, text text, word_count integer, words text)`;

export const remove = `
  with gone as (
    delete from knowledge_documents
    where tenant_id = :tenantId and collection = :collection and path = any (:paths)
    returning id)
  select count(*) as gone from gone`;

export const listCollections = `
  select collection, count(*) as documents, sum(passage_count) as passages, max(changed_at) as changed_at
  from knowledge_documents where tenant_id = :tenantId
  group by collection order by collection`;

export const listDocuments = `
  select path, title, tags, source, passage_count, changed_at from knowledge_documents
  where tenant_id = :tenantId and collection = :collection and (:after::text is null or path > :after)
  order by path limit :limit`;

export const totals = `
  select coalesce(sum(passage_count), 0) as passages, coalesce(sum(word_count), 0) as words
  from knowledge_documents where tenant_id = :tenantId`;

export const countFound = `
  select (
    select count(*) from (
      select from knowledge_passages
      where words @@ sought.query::tsquery and tenant_id = :tenantId
      limit :atMost) as counted) as found
  from unnest(:queries::text[]) with ordinality as sought (query, place)
  order by place`;

export const find = `
  select d.collection, d.path, d.title, d.tags, p.heading, p.line, p.ordinal, p.text
  from knowledge_passages as p join knowledge_documents as d on d.id = p.document_id
  where p.words @@ :match::tsquery
    and p.tenant_id = :tenantId and d.tenant_id = :tenantId
    and (:collection::text is null or d.collection = :collection)
    and d.tags @> :tags::text[]
  order by
    p.words @@ :inHeadings::tsquery desc,
    p.word_count, d.collection, d.path, p.ordinal
  limit :limit`;
