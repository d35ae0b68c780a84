// franz-go: everything flexible, and strict about what it gets back.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/clients/contract"
)

type client struct{ bootstrap string }

func main() {
	contract.Serve(client{bootstrap: os.Args[1]})
}

func (c client) CreateTopic(topic contract.Topic) error {
	return c.administer(func(ctx context.Context, admin *kadm.Client) error {
		configs := map[string]*string{}
		for key, value := range topic.Configs {
			configs[key] = &value
		}
		_, err := admin.CreateTopic(ctx, topic.Partitions, -1, configs, topic.Name)
		return err
	})
}

func (c client) DeleteTopic(name string) error {
	return c.administer(func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.DeleteTopic(ctx, name)
		return err
	})
}

func (c client) CreatePartitions(topic contract.Topic) error {
	return c.administer(func(ctx context.Context, admin *kadm.Client) error {
		responses, err := admin.UpdatePartitions(ctx, int(topic.Partitions), topic.Name)
		return errors.Join(err, responses.Error())
	})
}

func (c client) AlterTopic(altering contract.Altering) error {
	return c.administer(func(ctx context.Context, admin *kadm.Client) error {
		changes := []kadm.AlterConfig{}
		for key, value := range altering.Configs {
			changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
		}
		responses, err := admin.AlterTopicConfigs(ctx, changes, altering.Topic)
		for _, response := range responses {
			err = errors.Join(err, response.Err)
		}
		return err
	})
}

func (c client) DescribeTopic(describing contract.Describing) (map[string]string, error) {
	configs := map[string]string{}
	return configs, c.administer(func(ctx context.Context, admin *kadm.Client) error {
		resources, err := admin.DescribeTopicConfigs(ctx, describing.Topic)
		if err != nil {
			return err
		}
		resource, err := resources.On(describing.Topic, nil)
		for _, config := range resource.Configs {
			if slices.Contains(describing.Keys, config.Key) {
				configs[config.Key] = config.MaybeValue()
			}
		}
		return errors.Join(err, resource.Err)
	})
}

func (c client) DeleteRecords(deleting contract.Deleting) error {
	return c.administer(func(ctx context.Context, admin *kadm.Client) error {
		offsets := kadm.Offsets{}
		offsets.AddOffset(deleting.Topic, deleting.Partition, deleting.Before, -1)
		responses, err := admin.DeleteRecords(ctx, offsets)
		return errors.Join(err, responses.Error())
	})
}

func (c client) administer(act func(context.Context, *kadm.Client) error) error {
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), contract.Timeout)
	defer cancel()
	return act(ctx, kadm.NewClient(client))
}

func (c client) connect(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(c.bootstrap))...)
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

var acks = map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}

func (c client) Produce(producing contract.Producing) ([]int64, error) {
	options := []kgo.Opt{
		kgo.RequiredAcks(acks[producing.Acks]),
		kgo.ProducerBatchCompression(codecs[producing.Codec]),
		kgo.ProducerLinger(contract.Linger),
		kgo.ProducerBatchMaxBytes(contract.RequestBytesMax),
		kgo.AllowAutoTopicCreation(),
	}
	if producing.Partition != nil {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	if !producing.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := c.connect(options...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	records := make([]*kgo.Record, len(producing.Records))
	for at, record := range producing.Records {
		records[at] = &kgo.Record{
			Topic:     producing.Topic,
			Key:       record.Key,
			Value:     record.Value,
			Timestamp: record.Time(),
		}
		if producing.Partition != nil {
			records[at].Partition = *producing.Partition
		}
		for _, header := range record.Headers {
			records[at].Headers = append(records[at].Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), contract.Timeout)
	defer cancel()
	results := client.ProduceSync(ctx, records...)
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	offsets := make([]int64, len(records))
	for at, record := range records {
		offsets[at] = record.Offset
		if producing.Acks == "0" {
			offsets[at] = -1
		}
	}
	return offsets, nil
}

func (c client) Consume(consuming contract.Consuming) ([]contract.StoredRecord, error) {
	start := kgo.NewOffset().At(consuming.Position)
	if consuming.From == "beginning" {
		start = kgo.NewOffset().AtStart()
	}
	if consuming.From == "timestamp" {
		start = kgo.NewOffset().AfterMilli(consuming.Position)
	}
	client, err := c.connect(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		consuming.Topic: {consuming.Partition: start},
	}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), contract.Timeout)
	defer cancel()
	var read []contract.StoredRecord
	for len(read) == 0 || read[len(read)-1].Offset < consuming.End-1 {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(fetches.Err0(), ctx.Err()); err != nil {
			return nil, fmt.Errorf("after %d records: %w", len(read), err)
		}
		for _, record := range fetches.Records() {
			read = append(read, stored(record))
		}
	}
	return read, nil
}

func stored(record *kgo.Record) contract.StoredRecord {
	headers := []contract.Header{}
	for _, header := range record.Headers {
		headers = append(headers, contract.Header{Name: header.Key, Value: header.Value})
	}
	return contract.StoredRecord{
		Topic:     record.Topic,
		Partition: record.Partition,
		Offset:    record.Offset,
		Record: contract.Record{
			Key: record.Key, Value: record.Value, Headers: headers, Timestamp: record.Timestamp.UnixMilli(),
		},
	}
}
