import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.zip.CRC32;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client as a producer, for the contract of loads in programs/README.md: its defaults, acks=all, idempotence. */
public final class Load {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String topic;
    private final int partitions;
    private final int producerNumber;
    private final KafkaProducer<byte[], byte[]> producer;

    private Load(JsonNode settings) {
        topic = settings.get("topic").asText();
        partitions = settings.get("partitions").asInt();
        producerNumber = settings.get("producer").asInt();
        Map<String, Object> properties = new HashMap<>();
        properties.put("bootstrap.servers", settings.get("bootstrap").asText());
        properties.put("acks", "all");
        properties.put("enable.idempotence", true);
        producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    public static void main(String[] arguments) throws Exception {
        JsonNode settings = JSON.readTree(arguments[0]);
        CountDownLatch stopAsked = new CountDownLatch(1);
        Thread input = new Thread(() -> {
            try {
                System.in.transferTo(java.io.OutputStream.nullOutputStream());
            } catch (java.io.IOException closed) {
                // As good as its end.
            }
            stopAsked.countDown();
        });
        input.setDaemon(true);
        input.start();
        new Load(settings).run(stopAsked, settings.get("step_ms").asLong());
    }

    private void run(CountDownLatch stopAsked, long stepMs) throws InterruptedException {
        long sequence = 0;
        do {
            for (int partition = 0; partition < partitions; partition++) {
                send(partition, sequence);
            }
            sequence++;
        } while (!stopAsked.await(stepMs, TimeUnit.MILLISECONDS));
        producer.flush();
        for (int partition = 0; partition < partitions; partition++) {
            int number = partition;
            long end = sequence;
            say("attempted", event -> event.put("partition", number).put("end", end));
        }
        producer.close();
    }

    private void send(int partition, long sequence) {
        try {
            producer.send(new ProducerRecord<>(topic, partition, null, value(partition, sequence)), (metadata, error) -> {
                if (error == null) {
                    say("acknowledged", event -> event
                        .put("partition", partition)
                        .put("sequence", sequence)
                        .put("offset", metadata.hasOffset() ? metadata.offset() : -1));
                } else {
                    failed(partition, sequence, error);
                }
            });
        } catch (KafkaException error) {
            failed(partition, sequence, error);
        }
    }

    private byte[] value(int partition, long sequence) {
        String filler = ".".repeat((int) (20 + sequence % 64));
        String body = topic + " " + partition + " " + producerNumber + " " + sequence + " " + filler;
        CRC32 checksum = new CRC32();
        checksum.update(body.getBytes(StandardCharsets.UTF_8));
        return (body + " " + String.format("%08x", checksum.getValue())).getBytes(StandardCharsets.UTF_8);
    }

    private static void failed(int partition, long sequence, Exception error) {
        say("failed", event -> event
            .put("partition", partition)
            .put("sequence", sequence)
            .put("message", error.toString()));
    }

    private static void say(String name, Consumer<ObjectNode> fill) {
        ObjectNode event = JSON.createObjectNode().put("event", name);
        fill.accept(event);
        System.out.println(event);
    }
}
