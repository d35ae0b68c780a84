import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client behind the contract of programs/README.md. */
public final class ClientDriver {
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String bootstrap;

    private ClientDriver(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] arguments) throws Exception {
        ClientDriver driver = new ClientDriver(arguments[0]);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            ObjectNode answer = JSON.createObjectNode();
            try {
                driver.answer(JSON.readTree(line), answer);
            } catch (Exception error) {
                answer.removeAll();
                answer.put("error", error.toString());
            }
            System.out.println(answer);
        }
    }

    private void answer(JsonNode command, ObjectNode answer) throws Exception {
        switch (command.get("do").asText()) {
            case "create_topic" -> createTopic(command);
            case "delete_topic" -> deleteTopic(command);
            case "create_partitions" -> createPartitions(command);
            case "alter_topic" -> alterTopic(command);
            case "describe_topic" -> describeTopic(command, answer.putObject("configs"));
            case "delete_records" -> deleteRecords(command);
            case "produce" -> produce(command, answer.putArray("offsets"));
            case "consume" -> consume(command, answer.putArray("records"));
            default -> throw new IllegalArgumentException("unknown command");
        }
    }

    private void createTopic(JsonNode command) throws Exception {
        Map<String, String> configs = new HashMap<>();
        command.get("configs").properties().forEach(entry -> configs.put(entry.getKey(), entry.getValue().asText()));
        NewTopic topic = new NewTopic(command.get("topic").asText(), command.get("partitions").asInt(), (short) 1);
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(topic.configs(configs))).all().get();
        }
    }

    private void deleteTopic(JsonNode command) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            admin.deleteTopics(List.of(command.get("topic").asText())).all().get();
        }
    }

    private void createPartitions(JsonNode command) throws Exception {
        NewPartitions partitions = NewPartitions.increaseTo(command.get("partitions").asInt());
        try (Admin admin = Admin.create(settings())) {
            admin.createPartitions(Map.of(command.get("topic").asText(), partitions)).all().get();
        }
    }

    private void alterTopic(JsonNode command) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        command.get("configs").properties().forEach(entry -> changes.add(new AlterConfigOp(
            new ConfigEntry(entry.getKey(), entry.getValue().asText()), AlterConfigOp.OpType.SET)));
        try (Admin admin = Admin.create(settings())) {
            admin.incrementalAlterConfigs(Map.of(resource(command), changes)).all().get();
        }
    }

    private void describeTopic(JsonNode command, ObjectNode configs) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            Config described = admin.describeConfigs(List.of(resource(command))).all().get().get(resource(command));
            command.get("keys").forEach(key -> configs.put(key.asText(), described.get(key.asText()).value()));
        }
    }

    private void deleteRecords(JsonNode command) throws Exception {
        RecordsToDelete records = RecordsToDelete.beforeOffset(command.get("before").asLong());
        try (Admin admin = Admin.create(settings())) {
            admin.deleteRecords(Map.of(place(command), records)).all().get();
        }
    }

    private void produce(JsonNode command, ArrayNode offsets) throws Exception {
        Map<String, Object> settings = settings();
        settings.put("key.serializer", ByteArraySerializer.class);
        settings.put("value.serializer", ByteArraySerializer.class);
        settings.put("compression.type", command.get("codec").asText());
        settings.put("acks", command.get("acks").asText());
        settings.put("enable.idempotence", command.get("idempotent").asBoolean());
        settings.put("linger.ms", 100);
        settings.put("max.request.size", 2_000_000);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
            for (JsonNode record : command.get("records")) {
                JsonNode partition = command.get("partition");
                ProducerRecord<byte[], byte[]> message = new ProducerRecord<>(
                    command.get("topic").asText(), partition.isNull() ? null : partition.asInt(),
                    record.get("timestamp").asLong(), bytes(record.get("key")), bytes(record.get("value")));
                for (JsonNode header : record.get("headers")) {
                    message.headers().add(header.get(0).asText(), bytes(header.get(1)));
                }
                sent.add(producer.send(message));
            }
        }
        for (Future<RecordMetadata> delivered : sent) {
            RecordMetadata metadata = delivered.get();
            offsets.add(metadata.hasOffset() ? metadata.offset() : -1);
        }
    }

    private void consume(JsonNode command, ArrayNode records) throws Exception {
        Map<String, Object> settings = settings();
        settings.put("key.deserializer", ByteArrayDeserializer.class);
        settings.put("value.deserializer", ByteArrayDeserializer.class);
        settings.put("auto.offset.reset", "none");
        TopicPartition place = place(command);
        long position = command.get("position").asLong();
        long last = command.get("end").asLong() - 1;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            consumer.assign(List.of(place));
            if (command.get("from").asText().equals("timestamp")) {
                position = consumer.offsetsForTimes(Map.of(place, position)).get(place).offset();
            }
            if (command.get("from").asText().equals("beginning")) {
                consumer.seekToBeginning(List.of(place));
            } else {
                consumer.seek(place, position);
            }
            for (long read = -1; read < last; ) {
                var batch = consumer.poll(TIMEOUT);
                if (batch.isEmpty()) {
                    throw new TimeoutException("only " + records.size() + " records came");
                }
                for (ConsumerRecord<byte[], byte[]> record : batch) {
                    if (read < last) {
                        records.add(stored(record));
                        read = record.offset();
                    }
                }
            }
        }
    }

    private static ConfigResource resource(JsonNode command) {
        return new ConfigResource(ConfigResource.Type.TOPIC, command.get("topic").asText());
    }

    private static TopicPartition place(JsonNode command) {
        return new TopicPartition(command.get("topic").asText(), command.get("partition").asInt());
    }

    private Map<String, Object> settings() {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        return settings;
    }

    private static ObjectNode stored(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode node = JSON.createObjectNode();
        node.put("topic", record.topic());
        node.put("partition", record.partition());
        node.put("offset", record.offset());
        node.put("key", hex(record.key()));
        node.put("value", hex(record.value()));
        node.set("headers", headers(record.headers()));
        node.put("timestamp", record.timestamp());
        return node;
    }

    private static ArrayNode headers(Headers headers) {
        ArrayNode list = JSON.createArrayNode();
        for (Header header : headers) {
            list.addArray().add(header.key()).add(hex(header.value()));
        }
        return list;
    }

    private static byte[] bytes(JsonNode hex) {
        return hex.isNull() ? null : HexFormat.of().parseHex(hex.asText());
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? null : HexFormat.of().formatHex(bytes);
    }
}
