import { expect, test } from "vitest";
import { watchedSecrets } from "../../../../src/adapters/wrap/watched-secrets.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";
import { never } from "../../../support/samples.ts";

const away = (message: string) => new ExecutorError("internal", message, { away: "secrets" });

test("that a store cannot be asked is told once, another reason too, and once that it can again", async () => {
  let answer: Uint8Array | null | ExecutorError = null;
  const heard: (string | null)[] = [];
  const provider = watchedSecrets(
    {
      async find() {
        if (answer instanceof ExecutorError) throw answer;
        return answer;
      },
    },
    (why) => heard.push(why === null ? null : why.message),
  );
  const value = Buffer.from("a value");
  const answers: readonly (readonly [Uint8Array | null | ExecutorError, readonly (string | null)[]])[] = [
    [value, []],
    [away("sealed"), ["sealed"]],
    [away("sealed"), []],
    [away("gone"), ["gone"]],
    [new ExecutorError("policy_denied", "secret X cannot be used"), [null]],
    [null, []],
    [away("sealed"), ["sealed"]],
    [new ExecutorError("cancelled", "no longer wanted"), []],
    [value, [null]],
  ];
  for (const [given, wanted] of answers) {
    answer = given;
    const found = await provider.find("acme", "X", never()).catch((error: unknown) => error);
    expect(found).toBe(given);
    expect(heard.splice(0)).toEqual(wanted);
  }
});
