// One call, and its result. Run it with Node 24 in the checkout: node_modules/.bin/node examples/kafka/call.ts
import { Kafka, logLevel } from "kafkajs";

const brokers = (process.env.KAFKA_BROKERS ?? "localhost:9092").split(",");
const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
const task_id = `example-${Date.now()}`;
const call = { task_id, tool_name: "code_interpreter", payload: { language: "python", code: "print(6*7)" } };
const producer = kafka.producer();
await producer.connect();
await producer.send({ topic: "somastack.tools", messages: [{ key: "default", value: JSON.stringify(call) }] });
await producer.disconnect();
const consumer = kafka.consumer({ groupId: task_id });
await consumer.connect();
await consumer.subscribe({ topic: "somastack.tool_results", fromBeginning: true });
const eachMessage = async ({ message }) => {
  if (message.key?.toString() !== task_id) return;
  console.log(message.value.toString());
  consumer.disconnect();
};
await consumer.run({ eachMessage });
