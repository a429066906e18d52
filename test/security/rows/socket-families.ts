import { attempt, type Battery, battery, type Try } from "../battery.ts";

/** `AF_*` by number; the ones that a task may have are left open by their protocol. */
const families: Readonly<Record<number, string>> = {
  0: "unspecified",
  3: "AX25",
  4: "IPX",
  5: "AppleTalk",
  6: "NETROM",
  7: "bridge",
  8: "ATM PVC",
  9: "X25",
  11: "ROSE",
  12: "DECnet",
  13: "NETBEUI",
  14: "security",
  15: "key",
  17: "packet",
  18: "ash",
  19: "Econet",
  20: "ATM SVC",
  21: "RDS",
  22: "SNA",
  23: "IrDA",
  24: "PPPoX",
  25: "Wanpipe",
  26: "LLC",
  27: "InfiniBand",
  28: "MPLS",
  29: "CAN",
  30: "TIPC",
  31: "Bluetooth",
  32: "IUCV",
  33: "RxRPC",
  34: "ISDN",
  35: "Phonet",
  36: "IEEE 802.15.4",
  37: "CAIF",
  38: "ALG",
  39: "NFC",
  40: "vsock",
  41: "KCM",
  42: "QIPCRTR",
  43: "SMC",
  44: "XDP",
  45: "MCTP",
};

const everyType = (family: number): string =>
  `those(lambda kind: said(lambda: sock(${family}, kind)) != "EPERM", (1, 2, 3, 4, 5, 10))`;

const refused = (name: string, family: number, type: number, protocol: number): Try =>
  attempt(name, `sock(${family}, ${type}, ${protocol})`, "EPERM");
const opened = (name: string, family: number, type: number, protocol: number): Try =>
  attempt(name, `sock(${family}, ${type}, ${protocol})`, "done");

/** Whole tables of protocols that a task has no use for. */
export const socketBatteries: readonly Battery[] = [
  battery("B12", "the kernel's ciphers", [
    attempt("AF_ALG", "sock(38, 5)", "EPERM"),
    attempt("AF_ALG, closed on exec", "sock(38, 5 | 0x80000)", "EPERM"),
    attempt("AF_ALG by socketpair", "call(53, 38, 5, 0, buffer())", "EPERM"),
    attempt(
      "bind aead authencesn(hmac(sha256),cbc(aes))",
      'socket.socket(38, 5).bind(("aead", "authencesn(hmac(sha256),cbc(aes))"))',
      "EPERM",
    ),
  ]),
  battery("B13", "families and protocols of sockets", [
    ...Object.entries(families).map(([family, name]) =>
      attempt(`family ${family} (${name}), of any type`, everyType(Number(family)), "none"),
    ),
    attempt(
      "a pair of any family but the local one",
      'those(lambda one: said(lambda: call(53, one, 1, 0, buffer())) != "EPERM", [one for one in range(64) if one != 1])',
      "none",
    ),
    refused("raw internet", 2, 3, 1),
    refused("raw internet, of every protocol", 2, 3, 255),
    refused("raw internet 6", 10, 3, 58),
    refused("ping", 2, 2, 1),
    refused("MPTCP", 2, 1, 262),
    refused("SCTP", 2, 1, 132),
    refused("DCCP", 2, 6, 33),
    refused("UDP-Lite", 2, 2, 136),
    refused("L2TP", 2, 2, 115),
    refused("SMC over IP", 2, 1, 256),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22].map((protocol) =>
      refused(`netlink ${protocol}`, 16, 3, protocol),
    ),
    opened("a local one", 1, 1, 0),
    opened("TCP", 2, 1, 6),
    opened("UDP over internet 6", 10, 2, 17),
    opened("netlink of routes", 16, 3, 0),
  ]),
];
