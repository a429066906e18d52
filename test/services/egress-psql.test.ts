import { expect, test } from "vitest";
import { testDocker } from "../support/bare-container.ts";
import { openCli } from "../support/cli.ts";
import { dnsServer } from "../support/dns-server.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { serviceImage } from "../support/service-images.ts";
import { startPostgres } from "../support/services.ts";

const postgres = forThisFile(startPostgres);

test("psql in a task reaches the database that the operator offers, at its own loopback, and nothing else does", async () => {
  const port = postgres().port(5432);
  await using dns = await dnsServer({ "db.test": [["127.0.0.1"]] }, { address: "127.0.0.1", port: 0 });
  await using toolx = await openCli();
  const env = {
    EGRESS_DNS_SERVERS: `127.0.0.1:${dns.port}`,
    EGRESS_EXCEPTIONS: `db.test:${port}=127.0.0.0/8`,
    EGRESS_TCP: `tcp://db.test:${port}`,
  };
  const image = await serviceImage(testDocker(), "postgres", new AbortController().signal);
  const added = await toolx.run(["images", "add", image, "--", "psql", "--version"]);
  expect(added.code, added.stderr).toBe(0);
  try {
    const login = `PGPASSWORD='${postgres().password}' psql -h 127.0.0.1 -p ${port} -U postgres`;
    const command = `${login} -Atc 'select 6*7' && ${login} -Atc "copy (select generate_series(1, 100000)) to stdout" | tail -n 1`;
    const flags = ["--image", "postgres", "--memory", "256m"];
    const allowed = await toolx.result(["run", "shell", ...flags, "--allow", `tcp://db.test:${port}`, "--", command], {
      env,
    });
    expect(allowed.output.stdout, allowed.output.stderr).toBe("42\n100000\n");
    expect(allowed.egress).toMatchObject([{ host: "db.test", port, verdict: "allowed", connections: 2 }]);
    const without = await toolx.result(["run", "shell", ...flags, "--", command], { env });
    expect(without.output.stderr).toContain("Connection refused");
  } finally {
    await toolx.run(["images", "rm", "postgres"]);
  }
  expect(await toolx.leftovers()).toEqual([]);
});
