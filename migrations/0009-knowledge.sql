-- Documents of the knowledge base, in passages, and an index of their words.
-- Older workers may still run: yes

create table knowledge_documents (
  id bigint generated always as identity primary key,
  tenant_id text not null,
  -- Byte order, whatever the database's is: it is the order of answers, too.
  collection text collate "C" not null,
  path text collate "C" not null,
  title text not null,
  tags text[] not null,
  -- The folder it was imported from.
  source text not null,
  digest text not null,
  passage_count integer not null,
  word_count integer not null,
  changed_at bigint not null,
  unique (tenant_id, collection, path)
);

create table knowledge_passages (
  id bigint generated always as identity primary key,
  document_id bigint not null references knowledge_documents on delete cascade,
  tenant_id text not null,
  ordinal integer not null,
  heading text,
  line integer not null,
  text text not null,
  word_count integer not null,
  -- Folded and divided by us, each word with its tenant's mark; those of the title weigh A, of headings B, of the text D.
  words tsvector not null
);

create index knowledge_passages_of on knowledge_passages (document_id);
create index knowledge_words on knowledge_passages using gin (words);
