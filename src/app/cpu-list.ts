/** The processors of a list such as `1-3,6`; none for an empty one, null for what is no such list. */
export function cpuNumbers(list: string): ReadonlySet<number> | null {
  const numbers = new Set<number>();
  if (list === "") return numbers;
  for (const part of list.split(",")) {
    const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first)) return null;
    for (let cpu = Number(first); cpu <= Number(last); cpu += 1) numbers.add(cpu);
  }
  return numbers;
}
