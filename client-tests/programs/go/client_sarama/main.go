// sarama, in the release of the protocol that it takes when nobody chooses one, as old applications do; a newer one only
// where a feature needs it.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"

	"ottla/clients/contract"
)

type client struct{ bootstrap []string }

func main() {
	contract.Serve(client{bootstrap: os.Args[1:2]})
}

func (c client) administer(act func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin(c.bootstrap, sarama.NewConfig())
	if err != nil {
		return err
	}
	return errors.Join(act(admin), admin.Close())
}

func (c client) CreateTopic(topic contract.Topic) error {
	configs := map[string]*string{}
	for key, value := range topic.Configs {
		configs[key] = &value
	}
	detail := sarama.TopicDetail{NumPartitions: topic.Partitions, ReplicationFactor: 1, ConfigEntries: configs}
	return c.administer(func(admin sarama.ClusterAdmin) error { return admin.CreateTopic(topic.Name, &detail, false) })
}

func (c client) DeleteTopic(name string) error {
	return c.administer(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(name) })
}

func (c client) CreatePartitions(topic contract.Topic) error {
	return c.administer(func(admin sarama.ClusterAdmin) error {
		return admin.CreatePartitions(topic.Name, topic.Partitions, nil, false)
	})
}

// It has the old way, which sets all of a topic's settings.
func (c client) AlterTopic(altering contract.Altering) error {
	configs := map[string]*string{}
	for key, value := range altering.Configs {
		configs[key] = &value
	}
	return c.administer(func(admin sarama.ClusterAdmin) error {
		return admin.AlterConfig(sarama.TopicResource, altering.Topic, configs, false)
	})
}

func (c client) DescribeTopic(describing contract.Describing) (map[string]string, error) {
	configs := map[string]string{}
	return configs, c.administer(func(admin sarama.ClusterAdmin) error {
		entries, err := admin.DescribeConfig(sarama.ConfigResource{
			Type: sarama.TopicResource, Name: describing.Topic, ConfigNames: describing.Keys,
		})
		for _, entry := range entries {
			configs[entry.Name] = entry.Value
		}
		return err
	})
}

func (c client) DeleteRecords(deleting contract.Deleting) error {
	return c.administer(func(admin sarama.ClusterAdmin) error {
		return admin.DeleteRecords(deleting.Topic, map[int32]int64{deleting.Partition: deleting.Before})
	})
}

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

var acks = map[string]sarama.RequiredAcks{"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll}

func (c client) Produce(producing contract.Producing) ([]int64, error) {
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = acks[producing.Acks]
	config.Producer.Compression = codecs[producing.Codec]
	config.Producer.Idempotent = producing.Idempotent
	config.Producer.MaxMessageBytes = contract.RequestBytesMax
	config.Producer.Flush.Frequency = contract.Linger
	config.Producer.Return.Successes = true
	if producing.Partition != nil {
		config.Producer.Partitioner = sarama.NewManualPartitioner
	}
	if producing.Idempotent {
		// It refuses to be idempotent with more.
		config.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer(c.bootstrap, config)
	if err != nil {
		return nil, err
	}
	messages := make([]*sarama.ProducerMessage, len(producing.Records))
	for at, record := range producing.Records {
		messages[at] = message(producing, record)
	}
	if err := errors.Join(told(producer.SendMessages(messages)), producer.Close()); err != nil {
		return nil, err
	}
	offsets := make([]int64, len(messages))
	for at, message := range messages {
		offsets[at] = message.Offset
		if producing.Acks == "0" {
			offsets[at] = -1
		}
	}
	return offsets, nil
}

// told is an error with those of single messages, which its own words do not tell.
func told(err error) error {
	var failed sarama.ProducerErrors
	if errors.As(err, &failed) {
		for _, message := range failed {
			err = errors.Join(err, message.Err)
		}
	}
	return err
}

func message(producing contract.Producing, record contract.Record) *sarama.ProducerMessage {
	message := &sarama.ProducerMessage{Topic: producing.Topic, Timestamp: record.Time()}
	if producing.Partition != nil {
		message.Partition = *producing.Partition
	}
	// A nil encoder is what it sends as null.
	if record.Key != nil {
		message.Key = sarama.ByteEncoder(record.Key)
	}
	if record.Value != nil {
		message.Value = sarama.ByteEncoder(record.Value)
	}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
	}
	return message
}

func (c client) Consume(consuming contract.Consuming) ([]contract.StoredRecord, error) {
	connection, err := sarama.NewClient(c.bootstrap, sarama.NewConfig())
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	start := consuming.Position
	if consuming.From == "beginning" {
		start = sarama.OffsetOldest
	}
	if consuming.From == "timestamp" {
		if start, err = connection.GetOffset(consuming.Topic, consuming.Partition, start); err != nil {
			return nil, err
		}
	}
	consumer, err := sarama.NewConsumerFromClient(connection)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(consuming.Topic, consuming.Partition, start)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	deadline := time.After(contract.Timeout)
	var read []contract.StoredRecord
	for len(read) == 0 || read[len(read)-1].Offset < consuming.End-1 {
		select {
		case message := <-partition.Messages():
			read = append(read, stored(message))
		case <-deadline:
			return nil, fmt.Errorf("only %d records came", len(read))
		}
	}
	return read, nil
}

func stored(message *sarama.ConsumerMessage) contract.StoredRecord {
	headers := []contract.Header{}
	for _, header := range message.Headers {
		headers = append(headers, contract.Header{Name: string(header.Key), Value: header.Value})
	}
	return contract.StoredRecord{
		Topic:     message.Topic,
		Partition: message.Partition,
		Offset:    message.Offset,
		Record: contract.Record{
			Key: message.Key, Value: message.Value, Headers: headers, Timestamp: message.Timestamp.UnixMilli(),
		},
	}
}
