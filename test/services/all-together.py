"""One call over Kafka, in a trace of the caller's, and its result: KAFKA_BROKERS and the call in JSON from outside."""
import os
import sys

from kafka import KafkaConsumer, KafkaProducer

brokers = os.environ["KAFKA_BROKERS"].split(",")
task_id, call, traceparent = sys.argv[1:]
producer = KafkaProducer(bootstrap_servers=brokers)
headers = [("traceparent", traceparent.encode())]
producer.send("somastack.tools", key=b"default", value=call.encode(), headers=headers)
producer.flush()
results = KafkaConsumer("somastack.tool_results", bootstrap_servers=brokers, auto_offset_reset="earliest")
for message in results:
    if message.key == task_id.encode():
        sys.stdout.write(message.value.decode())
        break
