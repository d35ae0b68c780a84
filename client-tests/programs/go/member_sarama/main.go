// sarama as a member of a group, in the release of the protocol that it takes when nobody chooses one.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"

	"ottla/clients/member"
)

// How often what was processed is committed.
const commitInterval = 200 * time.Millisecond

type handler struct{ topic string }

func (h handler) Setup(session sarama.ConsumerGroupSession) error {
	member.Assigned(session.Claims()[h.topic], session.GenerationID())
	return nil
}

func (h handler) Cleanup(session sarama.ConsumerGroupSession) error {
	member.Revoked(session.Claims()[h.topic])
	return nil
}

func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			member.Record(message.Partition, message.Offset, message.Value)
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func main() {
	settings := member.Read()
	config := sarama.NewConfig()
	config.Consumer.Group.Session.Timeout = settings.SessionTimeout()
	config.Consumer.Group.Heartbeat.Interval = settings.HeartbeatInterval()
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = commitInterval
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Return.Errors = true
	group, err := sarama.NewConsumerGroup([]string{settings.Bootstrap}, settings.Group, config)
	if err != nil {
		panic(err)
	}
	go func() {
		for err := range group.Errors() {
			member.Trouble(err)
		}
	}()
	running, stop := context.WithCancel(context.Background())
	stopAsked := member.StopAsked()
	go func() {
		<-stopAsked
		stop()
	}()
	for running.Err() == nil {
		err := group.Consume(running, []string{settings.Topic}, handler{topic: settings.Topic})
		if err != nil && !errors.Is(err, context.Canceled) {
			member.Trouble(err)
		}
	}
	if err := group.Close(); err != nil {
		member.Trouble(err)
	}
}
