// Package contract is that of a client (../../README.md): commands in, answers out, bytes as hexadecimal.
package contract

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Timeout is the longest that a client waits for one answer.
const Timeout = 30 * time.Second

// Linger is how long a producer waits for more records for a batch.
const Linger = 100 * time.Millisecond

// RequestBytesMax lets the sample's large record through.
const RequestBytesMax = 2_000_000

// Bytes may be absent (nil), which empty ones are not.
type Bytes []byte

// MarshalJSON writes hexadecimal text, or null.
func (b Bytes) MarshalJSON() ([]byte, error) {
	if b == nil {
		return []byte("null"), nil
	}
	return json.Marshal(hex.EncodeToString(b))
}

// UnmarshalJSON reads hexadecimal text, or null.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	var digits *string
	if err := json.Unmarshal(text, &digits); err != nil || digits == nil {
		*b = nil
		return err
	}
	data, err := hex.DecodeString(*digits)
	*b = append(Bytes{}, data...)
	return err
}

// Header is a pair of a name and bytes.
type Header struct {
	Name  string
	Value Bytes
}

// MarshalJSON writes a list of two.
func (h Header) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{h.Name, h.Value})
}

// UnmarshalJSON reads a list of two.
func (h *Header) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&h.Name, &h.Value})
}

// Record is one as it is sent.
type Record struct {
	Key       Bytes    `json:"key"`
	Value     Bytes    `json:"value"`
	Headers   []Header `json:"headers"`
	Timestamp int64    `json:"timestamp"`
}

// Time is that of the record.
func (r Record) Time() time.Time {
	return time.UnixMilli(r.Timestamp)
}

// StoredRecord is one as it is read back.
type StoredRecord struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Record
}

// Topic is one to create.
type Topic struct {
	Name       string            `json:"topic"`
	Partitions int32             `json:"partitions"`
	Configs    map[string]string `json:"configs"`
}

// Producing is what to send, and how.
type Producing struct {
	Topic      string   `json:"topic"`
	Partition  *int32   `json:"partition"` // nil is the library's own choice for each record.
	Codec      string   `json:"codec"`
	Acks       string   `json:"acks"`
	Idempotent bool     `json:"idempotent"`
	Records    []Record `json:"records"`
}

// Consuming is what to read: up to End, which is exclusive.
type Consuming struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      string `json:"from"`
	Position  int64  `json:"position"`
	End       int64  `json:"end"`
}

// Altering is what to change about a topic.
type Altering struct {
	Topic   string            `json:"topic"`
	Configs map[string]string `json:"configs"`
}

// Describing names settings of a topic.
type Describing struct {
	Topic string   `json:"topic"`
	Keys  []string `json:"keys"`
}

// Deleting is up to where records go: Before, which is exclusive.
type Deleting struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Before    int64  `json:"before"`
}

// Client is what each library must be able to do.
type Client interface {
	CreateTopic(Topic) error
	DeleteTopic(name string) error
	// CreatePartitions makes a topic have so many.
	CreatePartitions(Topic) error
	AlterTopic(Altering) error
	DescribeTopic(Describing) (map[string]string, error)
	DeleteRecords(Deleting) error
	// Produce returns the offset of each record, -1 where nothing is acknowledged.
	Produce(Producing) ([]int64, error)
	Consume(Consuming) ([]StoredRecord, error)
}

// Serve answers the commands on standard input until that ends.
func Serve(client Client) {
	input := bufio.NewReader(os.Stdin)
	output := json.NewEncoder(os.Stdout)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		answer, err := carryOut(client, line)
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		// A test that is gone needs no more answers.
		if output.Encode(answer) != nil {
			return
		}
	}
}

func carryOut(client Client, line []byte) (map[string]any, error) {
	var command struct {
		Do         string `json:"do"`
		topic      Topic
		altering   Altering
		describing Describing
		deleting   Deleting
		producing  Producing
		consuming  Consuming
	}
	// Each command has its own fields; those that two of them share mean the same.
	parts := []any{
		&command, &command.topic, &command.altering, &command.describing, &command.deleting, &command.producing,
		&command.consuming,
	}
	for _, part := range parts {
		if err := json.Unmarshal(line, part); err != nil {
			return nil, err
		}
	}
	switch command.Do {
	case "create_topic":
		return map[string]any{}, client.CreateTopic(command.topic)
	case "delete_topic":
		return map[string]any{}, client.DeleteTopic(command.topic.Name)
	case "create_partitions":
		return map[string]any{}, client.CreatePartitions(command.topic)
	case "alter_topic":
		return map[string]any{}, client.AlterTopic(command.altering)
	case "describe_topic":
		configs, err := client.DescribeTopic(command.describing)
		return map[string]any{"configs": configs}, err
	case "delete_records":
		return map[string]any{}, client.DeleteRecords(command.deleting)
	case "produce":
		offsets, err := client.Produce(command.producing)
		return map[string]any{"offsets": offsets}, err
	case "consume":
		records, err := client.Consume(command.consuming)
		return map[string]any{"records": records}, err
	}
	return nil, fmt.Errorf("the command %q is not in the contract", command.Do)
}
