"""One call, and its result. Needs the package kafka-python: pip install kafka-python"""
import json
import os
import time

from kafka import KafkaConsumer, KafkaProducer

brokers = os.environ.get("KAFKA_BROKERS", "localhost:9092").split(",")
task_id = f"example-{time.time_ns()}"
call = {"task_id": task_id, "tool_name": "shell", "payload": {"command": "echo $((6 * 7))"}}
producer = KafkaProducer(bootstrap_servers=brokers)
producer.send("somastack.tools", key=b"default", value=json.dumps(call).encode())
producer.flush()

results = KafkaConsumer("somastack.tool_results", bootstrap_servers=brokers, auto_offset_reset="earliest")
for message in results:
    if message.key == task_id.encode():
        print(message.value.decode())
        break
