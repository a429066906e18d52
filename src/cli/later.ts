/** Verbs of the contract that no version has yet: refused by name instead of as an unknown word. */
export const laterVerbs: readonly { readonly verb: string; readonly group: string | null }[] = [
  { verb: "audit", group: null },
];
