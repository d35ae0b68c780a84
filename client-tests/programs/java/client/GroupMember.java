import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The Java client as a member of a group, for the contract of programs/README.md. */
public final class GroupMember implements ConsumerRebalanceListener {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration POLL = Duration.ofMillis(200);

    private final KafkaConsumer<byte[], byte[]> consumer;
    private volatile boolean stopAsked;

    private GroupMember(JsonNode settings) {
        Map<String, Object> properties = new HashMap<>();
        properties.put("bootstrap.servers", settings.get("bootstrap").asText());
        properties.put("group.id", settings.get("group").asText());
        properties.put("enable.auto.commit", false);
        properties.put("auto.offset.reset", "earliest");
        properties.put("fetch.max.wait.ms", 100);
        String protocol = settings.get("protocol").asText();
        if (protocol.equals("consumer")) {
            properties.put("group.protocol", "consumer");
        } else {
            String assignor = protocol.equals("range") ? "RangeAssignor" : "CooperativeStickyAssignor";
            properties.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor);
            properties.put("session.timeout.ms", settings.get("session_timeout_ms").asInt());
            properties.put("heartbeat.interval.ms", settings.get("heartbeat_interval_ms").asInt());
        }
        consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(Set.of(settings.get("topic").asText()), this);
    }

    public static void main(String[] arguments) throws Exception {
        GroupMember member = new GroupMember(JSON.readTree(arguments[0]));
        CountDownLatch left = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            member.stopAsked = true;
            member.consumer.wakeup();
            try {
                left.await();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }));
        try {
            member.run();
        } finally {
            left.countDown();
        }
    }

    private void run() {
        try (consumer) {
            while (!stopAsked) {
                work();
            }
        } catch (WakeupException asked) {
            // The consumer has left the group on its way out of the block above.
        }
    }

    private void work() {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
        for (ConsumerRecord<byte[], byte[]> record : records) {
            say("record", event -> event
                .put("partition", record.partition())
                .put("offset", record.offset())
                .put("value", new String(record.value(), StandardCharsets.UTF_8)));
        }
        if (records.isEmpty()) {
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> ends = records.nextOffsets();
        try {
            consumer.commitSync(ends);
            say("committed", event -> {
                ArrayNode offsets = event.putArray("offsets");
                ends.forEach((place, end) -> offsets.addArray().add(place.partition()).add(end.offset()));
            });
        } catch (WakeupException asked) {
            throw asked;
        } catch (KafkaException error) {
            say("trouble", event -> event.put("message", error.toString()));
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> added) {
        int generation = consumer.groupMetadata().generationId();
        say("assigned", event -> {
            put(event, added);
            event.put("generation", generation);
        });
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> removed) {
        say("revoked", event -> put(event, removed));
    }

    private static void put(ObjectNode event, Collection<TopicPartition> places) {
        ArrayNode partitions = event.putArray("partitions");
        List<Integer> sorted = places.stream().map(TopicPartition::partition).sorted().toList();
        sorted.forEach(partitions::add);
    }

    private static void say(String name, Consumer<ObjectNode> fill) {
        ObjectNode event = JSON.createObjectNode().put("event", name);
        fill.accept(event);
        System.out.println(event);
    }
}
