-- Documents of the knowledge base, in passages, and an index of their words.
-- Older workers stop, as with every new schema; they know nothing of these tables.

create table knowledge_documents (
  id integer primary key,
  tenant_id text not null,
  collection text not null,
  path text not null,
  title text not null,
  -- JSON
  tags text not null,
  -- The folder it was imported from.
  source text not null,
  digest text not null,
  passage_count integer not null,
  word_count integer not null,
  changed_at integer not null,
  unique (tenant_id, collection, path)
) strict;

create table knowledge_passages (
  id integer primary key,
  document_id integer not null references knowledge_documents (id),
  tenant_id text not null,
  ordinal integer not null,
  line integer not null,
  word_count integer not null,
  -- Last, since a long one is read only where it is wanted.
  heading text,
  text text not null
) strict;

create index knowledge_passages_of on knowledge_passages (document_id);

-- Words come folded and divided, each with its tenant's mark: the tokenizer only takes them apart again. The row is the passage's.
create virtual table knowledge_words using fts5 (
  title, heading, body,
  content = '', contentless_delete = 1, tokenize = 'ascii'
);
