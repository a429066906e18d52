import type { Inbound, Outbound } from "../../ports/transport.ts";

/** How the brokers are reached, and what is there called. */
export interface KafkaSettings {
  /** `host:port` of some of the brokers; the others are learned from them. */
  readonly brokers: readonly string[];
  readonly groupId: string;
  readonly topics: Readonly<Record<Inbound | Outbound, string>>;
  readonly createTopics: boolean;
  /** Of a topic that is made here. */
  readonly partitions: number;
  /** Of a topic that is made here; null: the broker's own default. */
  readonly replicationFactor: number | null;
  readonly sessionTimeoutMs: number;
  /** Of one outgoing message; the broker's own bound may turn out to be lower. */
  readonly maxMessageBytes: number;
  readonly tls: KafkaTls | null;
  readonly sasl: KafkaSasl | null;
}

/** Paths of PEM files; null: the usual certificates, and none of our own. */
export interface KafkaTls {
  readonly caPath: string | null;
  readonly certPath: string | null;
  readonly keyPath: string | null;
}

export interface KafkaSasl {
  readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
  readonly username: string;
  readonly password: string;
}
