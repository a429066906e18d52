import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sqliteKnowledgeStore } from "../../../src/adapters/sqlite/sqlite-knowledge-store.ts";
import { maxRanked, searchKnowledge } from "../../../src/knowledge/search.ts";
import type { KnowledgeStore } from "../../../src/ports/knowledge-store.ts";
import type { KnowledgeRequest } from "../../../src/schema/knowledge-schema.ts";
import { aDocument } from "../../support/knowledge-ground.ts";
import { handClock, never } from "../../support/samples.ts";

let folder: string;
let store: KnowledgeStore;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "search-"));
  store = sqliteKnowledgeStore(join(folder, "tasks.db"), handClock());
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const put = async (...args: Parameters<typeof aDocument>) => store.put(aDocument(...args), never());
const search = (request: string | KnowledgeRequest, tenantId = "acme") =>
  searchKnowledge(store, tenantId, typeof request === "string" ? { query: request } : request, never());
const paths = async (request: string | KnowledgeRequest) => (await search(request)).answers.map(({ path }) => path);
const snippetOf = async (query: string) => (await search(query)).answers[0]?.snippet;

describe("the best answer", () => {
  test("has the rarer word, more often, in a shorter text, or in its heading", async () => {
    await put("common.md", "rain rain rain rain");
    await put("both.md", "rain and hail");
    for (let index = 0; index < 5; index++) await put(`rain-${index}.md`, `rain number ${index}`);
    expect((await paths("rain hail"))[0]).toBe("both.md");
    expect((await paths("rain"))[0]).toBe("common.md");
    await put("headed.md", "# T\n\n## Hail\n\nIt falls from clouds in summer.");
    expect((await paths("hail"))[0]).toBe("headed.md");
  });

  test("of what is equal is the first by name", async () => {
    for (const path of ["c.md", "a.md", "b.md"]) await put(path, "the same rain");
    expect(await paths("rain")).toEqual(["a.md", "b.md", "c.md"]);
  });
});

describe("when no passage has all words", () => {
  test("those answer that have some, the most telling first, and the answer says so", async () => {
    await put("hail.md", "hail of March");
    await put("rain.md", "rain of March");
    await put("rain-2.md", "more rain of March");
    expect(await search("rain hail volcano")).toMatchObject({ matched: "any", answers: [{ path: "hail.md" }, {}, {}] });
    expect(await search("rain hail")).toMatchObject({ matched: "any" });
    expect(await search("rain march")).toMatchObject({ matched: "all" });
  });

  test("what must not be there still must not", async () => {
    await put("a.md", "rain over Oslo");
    await put("b.md", "rain over Rome");
    expect(await paths("rain volcano -oslo")).toEqual(["b.md"]);
  });

  test("and none has any, there is no answer", async () => {
    await put("a.md", "rain");
    expect(await search("volcano")).toEqual({ query: "volcano", matched: "none", more: false, answers: [] });
    expect(await search("volcano lava")).toMatchObject({ matched: "none", answers: [] });
    expect(await search("rain", "other")).toMatchObject({ matched: "none", answers: [] });
  });
});

describe("a snippet", () => {
  test("is one line with what was looked for between marks", async () => {
    await put("a.md", "# T\n\nThe **big**\n\n  rain-storm came\tdown. RAIN!");
    expect(await snippetOf("rain")).toBe("The big **rain**-storm came down. **RAIN**!");
    expect(await snippetOf('"rain storm"')).toBe("The big **rain-storm** came down. RAIN!");
    expect(await snippetOf("stor*")).toBe("The big rain-**storm** came down. RAIN!");
    expect(await snippetOf('"rain storm" storm')).toBe("The big **rain-storm** came down. RAIN!");
  });

  test("of a long text shows where most of it stands", async () => {
    const filler = Array.from({ length: 120 }, (_, index) => `word${index}`).join(" ");
    await put("a.md", `rain ${filler} rain with hail and wind ${filler}`);
    const shown = (await snippetOf("rain hail wind")) ?? "";
    expect(shown).toMatch(/^… word114 .* \*\*rain\*\* with \*\*hail\*\* and \*\*wind\*\* .* …$/);
    expect(shown.length).toBeLessThan(700);
  });

  test("begins at the beginning where the words are in the heading only", async () => {
    await put("a.md", "# T\n\n## Hail\n\nIt falls from clouds.");
    expect(await snippetOf("hail")).toBe("It falls from clouds.");
  });
});

describe("a request", () => {
  test("is for a collection and for tags, and gets no more answers than it wants", async () => {
    for (let index = 0; index < 12; index++) await put(`${index}.md`, "rain", { tags: index < 3 ? ["x"] : [] });
    await put("other.md", "rain", { collection: "other" });
    expect(await paths({ query: "rain", collection: "other" })).toEqual(["other.md"]);
    expect(await paths({ query: "rain", tags: ["x"] })).toHaveLength(3);
    expect(await search("rain")).toMatchObject({ more: true, answers: { length: 10 } });
    expect(await search({ query: "rain", limit: 13 })).toMatchObject({ more: false, answers: { length: 13 } });
  });

  test("for a collection that is not there is told which are, of its own tenant only", async () => {
    await put("a.md", "rain", { collection: "weather" });
    await put("b.md", "rain", { collection: "hidden", tenantId: "other" });
    await expect(search({ query: "rain", collection: "wether" })).rejects.toThrow(
      expect.objectContaining({
        code: "validation",
        message: 'no collection is named "wether"; there are weather',
        details: [expect.objectContaining({ path: "/collection" })],
      }),
    );
  });

  test("for a word that is everywhere ranks a bounded number, those with it in a heading among them", async () => {
    const many = Array.from({ length: maxRanked + 50 }, (_, index) => `## ${index}\n\nrain ${index}`).join("\n\n");
    await put("many.md", `# Many\n\n${many}`);
    await put("z.md", "# T\n\n## Rain\n\nfalls, in a text that has many more words than all of the others have");
    const { answers, more } = await search({ query: "rain", limit: 50 });
    expect(more).toBe(true);
    expect(answers[0]).toMatchObject({ path: "z.md", heading: "Rain" });
  });
});
