/** A picture of figures: panels one below the other. */
export interface Chart {
  readonly title: string;
  /** What must be known to read it, below the panels. */
  readonly note: string;
  readonly panels: readonly Panel[];
}

export type Panel = BarsPanel | LinesPanel;

/** One bar a contestant, from zero; a tick where the 99th percentile is. */
export interface BarsPanel {
  readonly kind: "bars";
  /** With the unit. */
  readonly axis: string;
  readonly bars: readonly {
    readonly name: string;
    readonly value: number;
    readonly p99?: number;
    readonly isOurs: boolean;
  }[];
}

/** Lines over the same places, which stand at equal distances. */
export interface LinesPanel {
  readonly kind: "lines";
  readonly axis: string;
  readonly placesAxis: string;
  readonly places: readonly number[];
  readonly lines: readonly {
    readonly name: string;
    /** One a place; null where there was none. */
    readonly values: readonly (number | null)[];
    readonly isOurs: boolean;
    readonly isDashed?: boolean;
  }[];
}

const width = 860;
const left = 230;
const right = 70;
const barHeight = 18;
const barGap = 12;
const plotHeight = 190;
const colours = { ours: "#0b6e4f", other: "#8a6d3b", text: "#1b1f24", faint: "#57606a", grid: "#e3e6ea" } as const;

/** Text of SVG, on white, with nothing to load. */
export function svgOf({ title, note, panels }: Chart): string {
  let y = 44;
  const drawn = panels.map((panel) => {
    const { height, parts } = panel.kind === "bars" ? bars(panel, y) : lines(panel, y);
    y += height;
    return parts.join("\n");
  });
  const height = y + 34;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="13" fill="${colours.text}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(20, 27, title, `font-size="16" font-weight="bold"`),
    ...drawn,
    text(20, y + 16, note, `fill="${colours.faint}" font-size="12"`),
    "</svg>\n",
  ].join("\n");
}

interface Drawn {
  readonly height: number;
  readonly parts: readonly string[];
}

function bars({ axis, bars: each }: BarsPanel, top: number): Drawn {
  const scale = scaleOf(Math.max(...each.flatMap(({ value, p99 = 0 }) => [value, p99])));
  const plotTop = top + 4;
  const plotBottom = plotTop + each.length * (barHeight + barGap);
  const x = (value: number): number => left + (value / scale.end) * (width - left - right);
  const grid = scale.ticks.flatMap((tick) => [
    line(x(tick), plotTop, x(tick), plotBottom, colours.grid),
    text(x(tick), plotBottom + 16, shown(tick), `text-anchor="middle" fill="${colours.faint}"`),
  ]);
  const marks = each.flatMap(({ name, value, p99, isOurs }, index) => {
    const y = plotTop + barGap / 2 + index * (barHeight + barGap);
    const colour = isOurs ? colours.ours : colours.other;
    const end = Math.max(x(value), p99 === undefined ? 0 : x(p99));
    return [
      text(left - 8, y + 14, name, `text-anchor="end"`),
      `<rect x="${left}" y="${y}" width="${fixed(Math.max(1, x(value) - left))}" height="${barHeight}" fill="${colour}"/>`,
      ...(p99 === undefined
        ? []
        : [
            line(x(value), y + barHeight / 2, x(p99), y + barHeight / 2, colour),
            line(x(p99), y, x(p99), y + barHeight, colour, 2),
          ]),
      text(end + 6, y + 14, shown(value), `font-weight="bold"`),
    ];
  });
  return {
    height: plotBottom - top + 46,
    parts: [...grid, ...marks, text(left, plotBottom + 34, axis, `fill="${colours.faint}"`)],
  };
}

function lines({ axis, placesAxis, places, lines: each }: LinesPanel, top: number): Drawn {
  const values = each.flatMap((one) => one.values.filter((value) => value !== null));
  const scale = scaleOf(Math.max(...values, 0));
  const plotLeft = 70;
  const plotTop = top + 44;
  const plotBottom = plotTop + plotHeight;
  const step = (width - plotLeft - right) / Math.max(1, places.length - 1);
  const x = (index: number): number => plotLeft + index * step;
  const y = (value: number): number => plotBottom - (value / scale.end) * plotHeight;
  const grid = scale.ticks.flatMap((tick) => [
    line(plotLeft, y(tick), width - right, y(tick), colours.grid),
    text(plotLeft - 8, y(tick) + 4, shown(tick), `text-anchor="end" fill="${colours.faint}"`),
  ]);
  const under = places.map((place, index) =>
    text(x(index), plotBottom + 18, String(place), `text-anchor="middle" fill="${colours.faint}"`),
  );
  const drawn = each.map((one) => {
    const points = one.values.flatMap((value, index) => (value === null ? [] : [[x(index), y(value)] as const]));
    const path = points.map(([atX, atY]) => `${fixed(atX)},${fixed(atY)}`).join(" ");
    const dots = points.map(
      ([atX, atY]) => `<circle cx="${fixed(atX)}" cy="${fixed(atY)}" r="3" fill="${colourOf(one)}"/>`,
    );
    return `<polyline points="${path}" fill="none" ${stroke(one)}/>${dots.join("")}`;
  });
  const legend = each.flatMap((one, index) => {
    const at = plotLeft + index * 195;
    return [
      `<line x1="${at}" y1="${top + 26}" x2="${at + 26}" y2="${top + 26}" ${stroke(one)}/>`,
      text(at + 32, top + 30, one.name, ""),
    ];
  });
  return {
    height: plotBottom - top + 54,
    parts: [
      text(20, top + 10, axis, `font-weight="bold"`),
      ...legend,
      ...grid,
      ...under,
      text((plotLeft + width - right) / 2, plotBottom + 36, placesAxis, `text-anchor="middle" fill="${colours.faint}"`),
      ...drawn,
    ],
  };
}

const colourOf = ({ isOurs }: { readonly isOurs: boolean }): string => (isOurs ? colours.ours : colours.other);

const stroke = (one: LinesPanel["lines"][number]): string =>
  `stroke="${colourOf(one)}" stroke-width="2"${one.isDashed === true ? ` stroke-dasharray="6 4"` : ""}`;

/** Round numbers from zero to no less than `most`, four to eight of them. */
export function scaleOf(most: number): { readonly end: number; readonly ticks: readonly number[] } {
  const rough = (most > 0 ? most : 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5].map((each) => each * power).findLast((each) => each <= rough) ?? power;
  const count = Math.ceil((most > 0 ? most : 1) / step);
  return { end: count * step, ticks: Array.from({ length: count + 1 }, (_, index) => index * step) };
}

const shown = (value: number): string => {
  if (value === 0) return "0";
  if (value < 10) return String(Number(value.toPrecision(2)));
  return Math.round(value).toLocaleString("en-US");
};

const fixed = (value: number): string => String(Number(value.toFixed(1)));

const line = (x1: number, y1: number, x2: number, y2: number, colour: string, thickness = 1): string =>
  `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" stroke="${colour}" stroke-width="${thickness}"/>`;

const text = (x: number, y: number, words: string, attributes: string): string =>
  `<text x="${fixed(x)}" y="${fixed(y)}" ${attributes}>${escaped(words)}</text>`;

const escaped = (words: string): string =>
  words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
