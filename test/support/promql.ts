import type { SyntaxNode } from "@lezer/common";
import { parser } from "@prometheus-io/lezer-promql";

/** What an expression asks for. */
export interface Selector {
  readonly metric: string;
  readonly labels: readonly string[];
  /** The function that looks at it over time, such as `rate`; null: none. */
  readonly over: string | null;
}

export interface Expression {
  readonly selectors: readonly Selector[];
  /** Labels of `by`, `without`, `on`, `ignoring`. */
  readonly grouped: readonly string[];
  readonly functions: readonly string[];
}

/** @throws Error for what is no PromQL, saying where. */
export function readPromql(text: string): Expression {
  const tree = parser.parse(text);
  const of = (node: SyntaxNode): string => text.slice(node.from, node.to);
  const selectors: Selector[] = [];
  const grouped: string[] = [];
  const functions: string[] = [];
  const visit = (node: SyntaxNode, over: string | null): void => {
    if (node.type.isError) throw new Error(`no PromQL at ${node.from}: ${text.slice(node.from)} of ${text}`);
    let inner = over;
    if (node.name === "FunctionCall") {
      const name = node.getChild("FunctionIdentifier");
      inner = name === null ? null : of(name);
      if (inner !== null) functions.push(inner);
    }
    if (node.name === "VectorSelector") selectors.push({ ...selectorAt(node, of), over });
    if (node.name === "GroupingLabels") grouped.push(...node.getChildren("LabelName").map(of));
    for (let child = node.firstChild; child !== null; child = child.nextSibling) visit(child, inner);
  };
  visit(tree.topNode, null);
  return { selectors, grouped, functions };
}

function selectorAt(node: SyntaxNode, of: (node: SyntaxNode) => string): Omit<Selector, "over"> {
  const names: string[] = [];
  const visit = (inner: SyntaxNode): void => {
    if (inner.name === "LabelName") names.push(of(inner));
    for (let child = inner.firstChild; child !== null; child = child.nextSibling) visit(child);
  };
  visit(node);
  const metric = node.getChild("Identifier");
  if (metric === null) throw new Error(`a selector without a name: ${of(node)}`);
  return { metric: of(metric), labels: names };
}
