import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads a topic once from its start to its end by assignment, and prints the records and the bytes of their values. */
public final class AssignedConsumer {
    private static final Duration POLL_LIMIT = Duration.ofSeconds(1);
    /** Polls without a record in a row after which the broker is held to be stuck. */
    private static final int EMPTY_POLLS_MAX = 30;

    public static void main(String[] arguments) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("enable.auto.commit", "false");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
            List<TopicPartition> partitions = consumer.partitionsFor(arguments[1]).stream()
                .map(partition -> new TopicPartition(partition.topic(), partition.partition()))
                .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long wanted = ends.values().stream().mapToLong(Long::longValue).sum()
                - consumer.beginningOffsets(partitions).values().stream().mapToLong(Long::longValue).sum();
            long records = 0;
            long bytes = 0;
            int emptyPolls = 0;
            while (records < wanted) {
                ConsumerRecords<byte[], byte[]> polled = consumer.poll(POLL_LIMIT);
                for (ConsumerRecord<byte[], byte[]> record : polled) {
                    records += 1;
                    bytes += record.value().length;
                }
                emptyPolls = polled.isEmpty() ? emptyPolls + 1 : 0;
                if (emptyPolls > EMPTY_POLLS_MAX) {
                    throw new IllegalStateException("no record after " + records + " of " + wanted);
                }
            }
            System.out.println(records + " " + bytes);
        }
    }
}
