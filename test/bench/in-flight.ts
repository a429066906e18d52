/** Calls `one` so many times, so many of them at once, the next as soon as one has ended. Answers how long all took, seconds. */
export async function inFlight(count: number, concurrency: number, one: () => Promise<unknown>): Promise<number> {
  let left = count;
  const startedAt = performance.now();
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await one();
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, concurrency) }, worker));
  return (performance.now() - startedAt) / 1000;
}
