#!/bin/sh
# A broker that is its own controller. What clients are told to dial is known only once the engine has mapped the port:
# it is waited for, in /tmp/advertised, as host:port. Lines of KAFKA_PROPERTIES come last and so count.
set -eu
while [ ! -s /tmp/advertised ]; do sleep 0.05; done
cat > /tmp/server.properties <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
controller.listener.names=CONTROLLER
listeners=OUTSIDE://0.0.0.0:9092,INSIDE://0.0.0.0:19092,CONTROLLER://127.0.0.1:9093
advertised.listeners=OUTSIDE://$(cat /tmp/advertised),INSIDE://$(hostname):19092
listener.security.protocol.map=OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INSIDE
log.dirs=/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
${KAFKA_PROPERTIES:-}
PROPERTIES
# Java expands the star, the shell must not.
export CLASSPATH='/opt/kafka/*'
java="java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
[ -s /data/meta.properties ] || $java kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw -c /tmp/server.properties
exec $java kafka.Kafka /tmp/server.properties
