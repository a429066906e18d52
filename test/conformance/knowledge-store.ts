import { describe, expect, test } from "vitest";
import { parseQuery } from "../../src/knowledge/query.ts";
import { searchKnowledge } from "../../src/knowledge/search.ts";
import { maxPassageWords, maxSameWord } from "../../src/model/knowledge.ts";
import type { KnowledgeStore, Sought } from "../../src/ports/knowledge-store.ts";
import { aDocument, realDocuments, realQueries } from "../support/knowledge-ground.ts";
import { never } from "../support/samples.ts";

/** Two stores on the same documents, as two processes have them. */
export type KnowledgeStores = readonly [KnowledgeStore, KnowledgeStore] & AsyncDisposable;

/** What every store of the knowledge base promises. */
export function knowledgeStoreConformance(name: string, open: () => Promise<KnowledgeStores>): void {
  const key = (collection = "default", tenantId = "acme") => ({ tenantId, collection });

  /** `path#place` of what is found. */
  const found = async (store: KnowledgeStore, query: string, differences: Partial<Sought> = {}, limit = 100) => {
    const sought = { tenantId: "acme", collection: null, tags: [], ...parseQuery(query), ...differences };
    return (await store.find(sought, limit, never())).map(({ path, ordinal }) => `${path}#${ordinal}`);
  };
  const put = async (store: KnowledgeStore, ...args: Parameters<typeof aDocument>) =>
    store.put(aDocument(...args), never());

  describe(`${name} is a KnowledgeStore`, () => {
    test("says of a document whether it is new, has changed, or is there already", async () => {
      await using stores = await open();
      const [one, other] = stores;
      expect(await put(one, "a.md", "# First\n\nrain")).toBe("added");
      expect(await put(other, "a.md", "# First\n\nrain")).toBe("unchanged");
      expect(await put(other, "a.md", "# First\n\nsnow")).toBe("changed");
      expect(await put(one, "a.md", "# First\n\nsnow", { tags: ["x"] })).toBe("changed");
      expect(await put(one, "a.md", "# First\n\nsnow", { tags: ["x"], collection: "other" })).toBe("added");
    });

    test("finds the words that a document has now, and no longer those it had", async () => {
      await using stores = await open();
      const [one, other] = stores;
      await put(one, "a.md", "rain and wind\n\n## Below\n\nhail");
      await put(one, "a.md", "rain and snow");
      expect(await found(other, "rain")).toEqual(["a.md#0"]);
      expect(await found(other, "wind")).toEqual([]);
      expect(await found(other, "hail")).toEqual([]);
      expect(await other.measure("acme", parseQuery("rain wind").all, never())).toEqual({
        ...{ passageCount: 1, wordCount: 3 },
        found: [1, 0],
      });
    });

    test("finds all words, wherever they stand: in the title, a heading, the text", async () => {
      await using stores = await open();
      const [store] = stores;
      await put(store, "a.md", "# Weather\n\n## Storms in March\n\nTake the boats in.\n\n## Calm\n\nSail.");
      expect(await found(store, "weather march boats")).toEqual(["a.md#0"]);
      expect(await found(store, "weather sail")).toEqual(["a.md#1"]);
      expect(await found(store, "march sail")).toEqual([]);
    });

    test.each([
      ["case", "ZÜRICH"],
      ["accents", "zurich"],
      ["composed accents", "zu\u0308rich"],
      ["wide letters", "ｚürich"],
      ["a sharp s", "STRASSE"],
      ["Greek, and the sigma at an end", "ΣΟΦΟΣ"],
      ["Cyrillic", "москва"],
      ["no spaces between words", "知識"],
    ])("does not look at %s", async (_what, query) => {
      await using stores = await open();
      const [store] = stores;
      await put(store, "a.md", "Zürich, Straße, σοφός, МОСКВА, 日本語の知識ベース");
      expect(await found(store, query)).toEqual(["a.md#0"]);
    });

    test("finds a phrase where its words stand beside each other, and not across a heading", async () => {
      await using stores = await open();
      const [store] = stores;
      await put(store, "a.md", "# Red\n\n## Apple\n\ngreen pears");
      await put(store, "b.md", "the red apple fell");
      await put(store, "c.md", "the apple is red");
      expect(await found(store, '"red apple"')).toEqual(["b.md#0"]);
      expect(await found(store, '"apple green"')).toEqual([]);
      expect(await found(store, "red-apple")).toEqual(["b.md#0"]);
    });

    test("finds words by their beginning, alone and at the end of a phrase", async () => {
      await using stores = await open();
      const [store] = stores;
      await put(store, "a.md", "migration of data");
      await put(store, "b.md", "we migrate the schema");
      expect(await found(store, "migrat*")).toEqual(["a.md#0", "b.md#0"]);
      expect(await found(store, "migrati*")).toEqual(["a.md#0"]);
      expect(await found(store, '"the sch"*')).toEqual(["b.md#0"]);
      expect(await found(store, '"the sch"')).toEqual([]);
    });

    test("leaves out what has a word, a phrase or a beginning that must not be there", async () => {
      await using stores = await open();
      const [store] = stores;
      await put(store, "a.md", "rain over Oslo");
      await put(store, "b.md", "rain over Rome");
      await put(store, "c.md", "rain over Romania");
      expect(await found(store, "rain -oslo")).toEqual(["b.md#0", "c.md#0"]);
      expect(await found(store, 'rain -"over rome" -osl*')).toEqual(["c.md#0"]);
      expect(await found(store, "rain -rom*")).toEqual(["a.md#0"]);
    });

    test("keeps to a collection, and to documents with every tag", async () => {
      await using stores = await open();
      const [store] = stores;
      await put(store, "a.md", "rain", { tags: ["x"] });
      await put(store, "b.md", "rain", { tags: ["x", "y"] });
      await put(store, "c.md", "rain", { collection: "other", tags: ["y"] });
      expect(await found(store, "rain", { collection: "default" })).toEqual(["a.md#0", "b.md#0"]);
      expect(await found(store, "rain", { tags: ["y"] })).toEqual(["b.md#0", "c.md#0"]);
      expect(await found(store, "rain", { tags: ["y", "x"] })).toEqual(["b.md#0"]);
      expect(await found(store, "rain", { collection: "nowhere" })).toEqual([]);
    });

    test("shows a tenant nothing of another's: not a passage, not a count, not a name", async () => {
      await using stores = await open();
      const [one, other] = stores;
      await put(one, "a.md", "secret rain", { tenantId: "acme" });
      await put(one, "a.md", "public snow", { tenantId: "other" });
      expect(await found(other, "rain", { tenantId: "other" })).toEqual([]);
      expect(await found(other, "se*", { tenantId: "other" })).toEqual([]);
      expect(await found(other, "snow", { tenantId: "other" })).toEqual(["a.md#0"]);
      expect(await other.measure("other", parseQuery("rain snow").all, never())).toEqual({
        ...{ passageCount: 1, wordCount: 2 },
        found: [0, 1],
      });
      expect(await other.listCollections("third", never())).toEqual([]);
      expect(await other.listDocuments(key("default", "third"), null, 10, never())).toEqual([]);
      expect(await other.remove(key("default", "third"), ["a.md"], never())).toBe(0);
      expect(await found(other, "rain")).toEqual(["a.md#0"]);
    });

    test("finds first what has all in title and headings, then the shorter, then by name", async () => {
      await using stores = await open();
      const [store] = stores;
      await put(store, "long.md", "rain, and a great many other words that are beside it here");
      await put(store, "b.md", "rain today");
      await put(store, "a.md", "rain today");
      await put(store, "Z.md", "rain today");
      await put(
        store,
        "titled.md",
        "# All about rain\n\nIt is what falls out of clouds in most of the places that are known to us.",
      );
      expect(await found(store, "rain")).toEqual(["titled.md#0", "Z.md#0", "a.md#0", "b.md#0", "long.md#0"]);
      expect(await found(store, "rain", {}, 2)).toEqual(["titled.md#0", "Z.md#0"]);
    });

    test("gives back what it was given: title, heading, line, tags, text", async () => {
      await using stores = await open();
      const [store] = stores;
      const text = "It's 100% \\ “quoted” 'text' :name $1\n\ttab\u2028🌧";
      await put(store, "it's/ä \\ 'b'.md", `# It's :a $1\n\n## Below\n\n${text}`, { tags: ["b", "a"] });
      const sought = { tenantId: "acme", collection: null, tags: [], ...parseQuery("quoted") };
      expect(await store.find(sought, 1, never())).toEqual([
        {
          ...{ collection: "default", path: "it's/ä \\ 'b'.md", title: "It's :a $1", heading: "Below" },
          ...{ line: 5, ordinal: 0, tags: ["a", "b"], text },
        },
      ]);
    });

    test("lists collections and documents in order, page by page", async () => {
      await using stores = await open();
      const [store] = stores;
      for (const path of ["b.md", "a.md", "Z.md", "ä.md"]) await put(store, path, "# T\n\none\n\n## H\n\ntwo");
      await put(store, "x.md", "one", { collection: "Other" });
      expect(await store.listCollections("acme", never())).toMatchObject([
        { collection: "Other", documentCount: 1, passageCount: 1 },
        { collection: "default", documentCount: 4, passageCount: 8 },
      ]);
      const page = async (after: string | null) =>
        (await store.listDocuments(key(), after, 3, never())).map(({ path }) => path);
      expect(await page(null)).toEqual(["Z.md", "a.md", "b.md"]);
      expect(await page("b.md")).toEqual(["ä.md"]);
      expect(await store.listDocuments(key(), "b.md", 3, never())).toMatchObject([
        { title: "T", tags: [], source: "/docs", passageCount: 2, changedAt: expect.any(Number) },
      ]);
    });

    test("removes what it is told to, with all its words, and nothing beside it", async () => {
      await using stores = await open();
      const [one, other] = stores;
      for (const path of ["a.md", "b.md", "c.md"]) await put(one, path, "rain\n\n## More\n\nrain");
      await put(one, "a.md", "rain", { collection: "other" });
      expect(await one.remove(key(), ["a.md", "c.md", "nowhere.md"], never())).toBe(2);
      expect(await found(other, "rain")).toEqual(["b.md#0", "b.md#1", "a.md#0"]);
      expect(await put(other, "a.md", "rain\n\n## More\n\nrain")).toBe("added");
    });

    test("finds a phrase behind as many of the same word as a passage may have", async () => {
      await using stores = await open();
      const [store] = stores;
      const text = `${"rain ".repeat(maxSameWord - 1)}${"or ".repeat(maxPassageWords - maxSameWord - 1)}rain ends`;
      const document = aDocument("a.md", `# ${"rain ".repeat(30)}\n\n## ${"rain ".repeat(40)}\n\n${text}`);
      expect(document.passages).toHaveLength(1);
      await store.put(document, never());
      expect(await found(store, '"rain ends"')).toEqual(["a.md#0"]);
    });

    test("two that put the same document at once leave one of it", async () => {
      await using stores = await open();
      const [one, other] = stores;
      const puts = Array.from({ length: 10 }, (_, index) =>
        put(index % 2 === 0 ? one : other, "a.md", `rain ${index % 3}\n\n## More\n\nrain`),
      );
      expect((await Promise.all(puts)).filter((outcome) => outcome === "added")).toHaveLength(1);
      expect(await found(one, "rain")).toEqual(["a.md#1", "a.md#0"]);
    });

    test("two that put many documents at once, in opposite order, both come to an end", async () => {
      await using stores = await open();
      const [one, other] = stores;
      const paths = Array.from({ length: 20 }, (_, index) => `${index}.md`);
      await Promise.all([
        ...paths.map((path) => put(one, path, "rain")),
        ...paths.toReversed().map((path) => put(other, path, "snow")),
      ]);
      expect((await only(one)).documentCount).toBe(20);
    });

    test("stops for a signal", async () => {
      await using stores = await open();
      const [store] = stores;
      const signal = AbortSignal.abort(new Error("enough"));
      await expect(store.put(aDocument("a.md", "rain"), signal)).rejects.toThrow("enough");
      await expect(store.measure("acme", parseQuery("rain").all, signal)).rejects.toThrow("enough");
    });

    test("answers questions about real documentation from the page that has it", async () => {
      await using stores = await open();
      const [store] = stores;
      for (const document of realDocuments("acme")) await store.put(document, never());
      for (const [query, path] of realQueries) {
        const { answers } = await searchKnowledge(store, "acme", { query, limit: 3 }, never());
        expect(
          answers.map((each) => each.path),
          query,
        ).toContain(path);
        expect(answers[0]?.snippet, query).toContain("**");
      }
    }, 60_000);
  });
}

async function only(store: KnowledgeStore) {
  const [summary] = await store.listCollections("acme", never());
  if (summary === undefined) throw new Error("no collection");
  return summary;
}
