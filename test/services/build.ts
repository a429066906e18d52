// `npm run services [-- NAME…]`: makes the images of the services that tests run against, all that tests need without a name, the
// long builds first. Quick when nothing is to do. A failure does not keep the others from being made.
import { ExecutorError } from "../../src/model/failure.ts";
import { buildService, type ServiceName, serviceNames, testedServiceNames } from "../support/service-images.ts";

const startedAt = performance.now();

process.exitCode = await main(process.argv.slice(2));

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) => !isService(name));
  if (unknown !== undefined) {
    tell(`no service is called "${unknown}"; there are ${serviceNames.join(", ")}`);
    return 2;
  }
  const wanted = names.length === 0 ? testedServiceNames : names.filter(isService);
  let failed = 0;
  for (const name of wanted) {
    try {
      await buildService(name, (message) => tell(`${name}: ${message}`), new AbortController().signal);
    } catch (error) {
      if (!(error instanceof ExecutorError)) throw error;
      tell(error.message);
      if (error.hint !== null) tell(`hint: ${error.hint}`);
      failed += 1;
    }
  }
  return failed === 0 ? 0 : 1;
}

function isService(name: string): name is ServiceName {
  return (serviceNames as readonly string[]).includes(name);
}

function tell(message: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0).padStart(4);
  process.stderr.write(`services ${seconds} s  ${message}\n`);
}
