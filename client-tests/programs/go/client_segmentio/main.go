// segmentio's kafka-go, which sends fixed old versions of some requests and negotiates none of them. It has no
// idempotent producer, tells no offsets, and deletes no records.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"

	"ottla/clients/contract"
)

type client struct{ bootstrap string }

func main() {
	contract.Serve(client{bootstrap: os.Args[1]})
}

func (c client) administrator() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(c.bootstrap), Timeout: contract.Timeout}
}

func (c client) CreateTopic(topic contract.Topic) error {
	config := kafka.TopicConfig{Topic: topic.Name, NumPartitions: int(topic.Partitions), ReplicationFactor: 1}
	for key, value := range topic.Configs {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: key, ConfigValue: value})
	}
	request := kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}}
	response, err := c.administrator().CreateTopics(context.Background(), &request)
	if err != nil {
		return err
	}
	return response.Errors[topic.Name]
}

func (c client) DeleteTopic(name string) error {
	request := kafka.DeleteTopicsRequest{Topics: []string{name}}
	response, err := c.administrator().DeleteTopics(context.Background(), &request)
	if err != nil {
		return err
	}
	return response.Errors[name]
}

func (c client) CreatePartitions(topic contract.Topic) error {
	config := kafka.TopicPartitionsConfig{Name: topic.Name, Count: topic.Partitions}
	request := kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{config}}
	response, err := c.administrator().CreatePartitions(context.Background(), &request)
	if err != nil {
		return err
	}
	return response.Errors[topic.Name]
}

func (c client) AlterTopic(altering contract.Altering) error {
	resource := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: altering.Topic,
	}
	for key, value := range altering.Configs {
		change := kafka.IncrementalAlterConfigsRequestConfig{
			Name: key, Value: value, ConfigOperation: kafka.ConfigOperationSet,
		}
		resource.Configs = append(resource.Configs, change)
	}
	resources := []kafka.IncrementalAlterConfigsRequestResource{resource}
	request := kafka.IncrementalAlterConfigsRequest{Resources: resources}
	response, err := c.administrator().IncrementalAlterConfigs(context.Background(), &request)
	if err != nil {
		return err
	}
	return response.Resources[0].Error
}

func (c client) DescribeTopic(describing contract.Describing) (map[string]string, error) {
	request := kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: describing.Topic, ConfigNames: describing.Keys,
	}}}
	response, err := c.administrator().DescribeConfigs(context.Background(), &request)
	if err != nil {
		return nil, err
	}
	configs := map[string]string{}
	for _, entry := range response.Resources[0].ConfigEntries {
		configs[entry.ConfigName] = entry.ConfigValue
	}
	return configs, response.Resources[0].Error
}

func (c client) DeleteRecords(contract.Deleting) error {
	return errors.New("kafka-go deletes no records")
}

var codecs = map[string]kafka.Compression{
	"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

var acks = map[string]kafka.RequiredAcks{"0": kafka.RequireNone, "1": kafka.RequireOne, "all": kafka.RequireAll}

func (c client) Produce(producing contract.Producing) ([]int64, error) {
	if producing.Idempotent {
		return nil, errors.New("kafka-go has no idempotent producer")
	}
	offsets := make([]int64, len(producing.Records))
	writer := &kafka.Writer{
		Addr:         kafka.TCP(c.bootstrap),
		Topic:        producing.Topic,
		RequiredAcks: acks[producing.Acks],
		Compression:  codecs[producing.Codec],
		BatchTimeout: contract.Linger,
		BatchBytes:   contract.RequestBytesMax,

		AllowAutoTopicCreation: true,
		// The one that all share remembers for some seconds which partitions there are.
		Transport: &kafka.Transport{},
		Completion: func(messages []kafka.Message, _ error) {
			for _, message := range messages {
				offsets[message.WriterData.(int)] = message.Offset
			}
		},
	}
	if producing.Partition != nil {
		writer.Balancer = kafka.BalancerFunc(func(kafka.Message, ...int) int { return int(*producing.Partition) })
	}
	messages := make([]kafka.Message, len(producing.Records))
	for at, record := range producing.Records {
		messages[at] = kafka.Message{Key: record.Key, Value: record.Value, Time: record.Time(), WriterData: at}
		for _, header := range record.Headers {
			messages[at].Headers = append(messages[at].Headers, kafka.Header{Key: header.Name, Value: header.Value})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), contract.Timeout)
	defer cancel()
	if err := errors.Join(writer.WriteMessages(ctx, messages...), writer.Close()); err != nil {
		return nil, err
	}
	if producing.Acks == "0" {
		for at := range offsets {
			offsets[at] = -1
		}
	}
	return offsets, nil
}

func (c client) Consume(consuming contract.Consuming) ([]contract.StoredRecord, error) {
	ctx, cancel := context.WithTimeout(context.Background(), contract.Timeout)
	defer cancel()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{c.bootstrap}, Topic: consuming.Topic, Partition: int(consuming.Partition),
	})
	defer reader.Close()
	start := reader.SetOffset(consuming.Position)
	if consuming.From == "beginning" {
		start = reader.SetOffset(kafka.FirstOffset)
	}
	if consuming.From == "timestamp" {
		start = reader.SetOffsetAt(ctx, time.UnixMilli(consuming.Position))
	}
	if start != nil {
		return nil, start
	}
	var read []contract.StoredRecord
	for len(read) == 0 || read[len(read)-1].Offset < consuming.End-1 {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return nil, fmt.Errorf("after %d records: %w", len(read), err)
		}
		read = append(read, stored(message))
	}
	return read, nil
}

func stored(message kafka.Message) contract.StoredRecord {
	headers := []contract.Header{}
	for _, header := range message.Headers {
		headers = append(headers, contract.Header{Name: header.Key, Value: header.Value})
	}
	return contract.StoredRecord{
		Topic:     message.Topic,
		Partition: int32(message.Partition),
		Offset:    message.Offset,
		Record: contract.Record{
			Key: message.Key, Value: message.Value, Headers: headers, Timestamp: message.Time.UnixMilli(),
		},
	}
}
