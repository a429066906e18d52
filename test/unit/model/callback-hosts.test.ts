import { describe, expect, test } from "vitest";
import { callbackHostText, judgeCallbackUrl, mayDial, parseCallbackHosts } from "../../../src/model/callback-hosts.ts";

const hostsOf = (text: string) => parseCallbackHosts(text) ?? [];

describe("the hosts of the setting", () => {
  test("have a scheme and a port, named or not", () => {
    const hosts = hostsOf("Hooks.Example, b.example:8443,http://c.example=10.0.0.0/8,[2606:4700::1]:9");
    expect(hosts.map(callbackHostText)).toEqual([
      "https://hooks.example:443",
      "https://b.example:8443",
      "http://c.example:80",
      "https://[2606:4700::1]:9",
    ]);
    expect(hostsOf("")).toEqual([]);
  });

  test.each([
    ",",
    "a b",
    "ftp://a.example",
    "https://",
    "a.example/path",
    "https://a.example/",
    "a.example?x",
    "u:p@a.example",
    "a.example:99999",
    "a.example=10.0.0.0/99",
    "a.example=10.0.0.0/8=1",
    "a.example=",
  ])("%j is no list of them", (text) => {
    expect(parseCallbackHosts(text)).toBeNull();
  });
});

describe("a callback_url", () => {
  const hosts = hostsOf("hooks.example,http://plain.example:8080,localhost:9=127.0.0.0/8");

  test.each([
    "https://hooks.example/done?task=1",
    "https://HOOKS.example:443/",
    "http://plain.example:8080",
    "https://localhost:9/x",
  ])("%s leads to one of them", (url) => {
    expect(judgeCallbackUrl(url, hosts)).toMatchObject({ kind: "allowed" });
  });

  test.each([
    "http://hooks.example/",
    "https://hooks.example:8443/",
    "https://hooks.example./",
    "https://hooks.example.evil.example/",
    "https://evil.example/https://hooks.example/",
    "https://hooks.example@evil.example/",
    "https://hooks.example:x@evil.example/",
    "https://user@hooks.example/",
    "https://hooks.example/#part",
    "ftp://hooks.example/",
    "file:///etc/passwd",
    "hooks.example",
    "",
    "http://127.0.0.1:9/",
    "http://localhost/",
    "http://localhost.:9/",
    "http://127.0.0.1.nip.io/",
    "http://0.0.0.0/",
    "http://0/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.1%00/",
    "http://１２７.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    "http://10.0.0.1/",
  ])("F3 F4 F5 F7 F8 G23 %s is refused", (url) => {
    expect(judgeCallbackUrl(url, hosts)).toMatchObject({ kind: "refused" });
  });

  test("is named in a refusal by its place alone", () => {
    const verdict = judgeCallbackUrl("https://evil.example/hunter2?token=hunter2", hosts);
    expect(verdict).toEqual({
      kind: "refused",
      what: "callback_url leads to https://evil.example:443, where no callbacks may go",
    });
    expect(judgeCallbackUrl("https://me:hunter2@hooks.example/", hosts)).toMatchObject({
      what: "callback_url has a user, a password or a fragment",
    });
  });
});

test.each<[string, string, boolean]>([
  ["hooks.example", "8.8.8.8", true],
  ["hooks.example", "127.0.0.1", false],
  ["hooks.example", "10.0.0.1", false],
  ["hooks.example", "::ffff:10.0.0.1", false],
  ["hooks.example=10.0.0.0/8", "10.0.0.1", true],
  ["hooks.example=10.0.0.0/8", "8.8.8.8", false],
  ["hooks.example=0.0.0.0/0", "169.254.169.254", false],
  ["169.254.169.254", "169.254.169.254", false],
  ["http://127.0.0.1:9", "127.0.0.1", true],
  ["http://127.0.0.1:9", "127.0.0.2", false],
])("what %s resolves to: %s may be dialled: %s", (text, address, may) => {
  const [host] = hostsOf(text);
  if (host === undefined) throw new Error("no host");
  expect(mayDial(host, address)).toBe(may);
});
