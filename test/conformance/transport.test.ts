import { memoryTransport } from "../../src/adapters/memory/memory-transport.ts";
import { transportConformance } from "./transport.ts";

transportConformance("memory", async () => {
  const transport = memoryTransport();
  return {
    open: () => transport,
    offer: async (channel, message) => void transport.offer(channel, message),
    sent: async (channel) => transport.sent(channel).map(({ key, value, headers }) => ({ key, value, headers })),
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
});
