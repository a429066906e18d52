/** What the knowledge base asks of the file; every statement names the tenant. */

export const selectDocument = `
  select id, digest from knowledge_documents
  where tenant_id = :tenantId and collection = :collection and path = :path`;

export const insertDocument = `
  insert into knowledge_documents
    (tenant_id, collection, path, title, tags, source, digest, passage_count, word_count, changed_at)
  values (:tenantId, :collection, :path, :title, :tags, :source, :digest, :passageCount, :wordCount, :now)
  returning id`;

export const dropWords = `
  delete from knowledge_words where rowid in (select id from knowledge_passages where document_id = :id)`;

export const dropPassages = "delete from knowledge_passages where document_id = :id";

export const dropDocument = "delete from knowledge_documents where id = :id";

export const insertPassage = `
  insert into knowledge_passages (document_id, tenant_id, ordinal, heading, line, text, word_count)
  values (:id, :tenantId, :ordinal, :heading, :line, :text, :wordCount)
  returning id`;

export const insertWords = `
  insert into knowledge_words (rowid, title, heading, body) values (:id, :title, :heading, :body)`;

export const listCollections = `
  select collection, count(*) as documents, sum(passage_count) as passages, max(changed_at) as changed_at
  from knowledge_documents where tenant_id = :tenantId
  group by collection order by collection`;

export const listDocuments = `
  select path, title, tags, source, passage_count, changed_at from knowledge_documents
  where tenant_id = :tenantId and collection = :collection and (:after is null or path > :after)
  order by path limit :limit`;

export const totals = `
  select coalesce(sum(passage_count), 0) as passages, coalesce(sum(word_count), 0) as words
  from knowledge_documents where tenant_id = :tenantId`;

export const countFound = `
  select count(*) as found from (
    select 1 from knowledge_words as w join knowledge_passages as p on p.id = w.rowid
    where knowledge_words match :match and p.tenant_id = :tenantId
    limit :atMost)`;

/** First which and in what order, then their texts: a word that is everywhere is in more of them than anybody wants to read. */
export const find = `
  with chosen as materialized (
    select p.id,
      p.id in (select rowid from knowledge_words where knowledge_words match :inHeadings) as is_headed,
      p.word_count, d.collection, d.path, p.ordinal
    from knowledge_words as w
      join knowledge_passages as p on p.id = w.rowid
      join knowledge_documents as d on d.id = p.document_id
    where knowledge_words match :match
      and p.tenant_id = :tenantId and d.tenant_id = :tenantId
      and (:collection is null or d.collection = :collection)
      and not exists (
        select 1 from json_each(:tags) as wanted
        where wanted.value not in (select value from json_each(d.tags)))
    order by is_headed desc, p.word_count, d.collection, d.path, p.ordinal
    limit :limit)
  select d.collection, d.path, d.title, d.tags, p.heading, p.line, p.ordinal, p.text
  from chosen as c
    join knowledge_passages as p on p.id = c.id
    join knowledge_documents as d on d.id = p.document_id
  order by c.is_headed desc, c.word_count, c.collection, c.path, c.ordinal`;
