import type { Kafka } from "kafkajs";
import { ExecutorError } from "../../model/failure.ts";
import type { KafkaSettings } from "./kafka-settings.ts";

/**
 * Makes the topics that are missing, where that is allowed.
 * @throws ExecutorError validation, naming those that are missing and may not be made; whatever kafkajs throws when the brokers cannot be asked.
 */
export async function ensureTopics(kafka: Kafka, settings: KafkaSettings): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const there = new Set(await admin.listTopics());
    const missing = [...new Set(Object.values(settings.topics))].filter((topic) => !there.has(topic));
    if (missing.length === 0) return;
    if (!settings.createTopics) {
      throw new ExecutorError("validation", `the brokers have no topic ${missing.join(", ")}`, {
        hint: "make them, or allow it with KAFKA_CREATE_TOPICS=yes",
      });
    }
    // False: another executor was faster.
    await admin.createTopics({
      topics: missing.map((topic) => ({
        topic,
        numPartitions: settings.partitions,
        replicationFactor: settings.replicationFactor ?? -1,
      })),
      waitForLeaders: true,
    });
  } finally {
    await admin.disconnect();
  }
}
