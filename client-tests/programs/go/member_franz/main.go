// franz-go as a member of a group: the classic protocol, eager and cooperative, and the consumer protocol.
package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/clients/member"
)

// owner is the member id under which the partitions were given.
var owner atomic.Value

func main() {
	settings := member.Read()
	options := []kgo.Opt{
		kgo.SeedBrokers(settings.Bootstrap),
		kgo.ConsumerGroup(settings.Group),
		kgo.ConsumeTopics(settings.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.DisableAutoCommit(),
		// Records are committed before their partitions may go to somebody else.
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(settings.SessionTimeout()),
		kgo.HeartbeatInterval(settings.HeartbeatInterval()),
		kgo.OnPartitionsAssigned(func(_ context.Context, client *kgo.Client, added map[string][]int32) {
			memberID, generation := client.GroupMetadata()
			owner.Store(memberID)
			member.Assigned(added[settings.Topic], generation)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, removed map[string][]int32) {
			member.Revoked(removed[settings.Topic])
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, removed map[string][]int32) {
			member.Revoked(removed[settings.Topic])
		}),
	}
	switch settings.Protocol {
	case "consumer":
		options = append(options, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	case "cooperative-sticky":
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	default:
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		panic(err)
	}
	polling, stop := context.WithCancel(context.Background())
	stopAsked := member.StopAsked()
	go func() {
		<-stopAsked
		stop()
	}()
	for polling.Err() == nil {
		work(client, polling)
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}

// work processes one poll's records, then commits them.
func work(client *kgo.Client, polling context.Context) {
	fetches := client.PollFetches(polling)
	fetches.EachError(func(_ string, _ int32, err error) {
		if polling.Err() == nil {
			member.Trouble(err)
		}
	})
	records := fetches.Records()
	if len(records) == 0 {
		return
	}
	ends := map[string]map[int32]kgo.EpochOffset{records[0].Topic: {}}
	for _, record := range records {
		member.Record(record.Partition, record.Offset, record.Value)
		ends[record.Topic][record.Partition] = kgo.EpochOffset{Epoch: record.LeaderEpoch, Offset: record.Offset + 1}
	}
	deadline, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client.CommitOffsetsSync(kgo.PreCommitFnContext(deadline, onlyAsOwner), ends, acknowledged(ends))
}

// onlyAsOwner keeps back a commit under another member id than the one that was given the partitions.
//
// A member that learns from a commit that it is no longer in its group joins anew, under another id, with the partitions
// and positions that it had (kgo 1.22 calls no OnPartitionsLost then). A commit waits for that join, and would move the
// group's offsets back behind those of whoever took over: for the broker, Apache Kafka's too, it is one of a member.
func onlyAsOwner(request *kmsg.OffsetCommitRequest) error {
	if owner.Load() != request.MemberID {
		return errors.New("not committed as " + request.MemberID)
	}
	return nil
}

// acknowledged reports which of the offsets the broker took.
func acknowledged(ends map[string]map[int32]kgo.EpochOffset) func(
	*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	return func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			member.Trouble(err)
			return
		}
		for _, topic := range response.Topics {
			for _, partition := range topic.Partitions {
				if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
					member.Trouble(err)
				} else {
					member.Committed(partition.Partition, ends[topic.Topic][partition.Partition].Offset)
				}
			}
		}
	}
}
