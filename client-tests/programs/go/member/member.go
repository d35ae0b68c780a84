// Package member is the contract of a group member (../../README.md): settings in as one JSON argument, events out as
// JSON lines.
package member

import (
	"encoding/json"
	"os"
	"os/signal"
	"sort"
	"sync"
	"syscall"
	"time"
)

// Settings say what the group is.
type Settings struct {
	Bootstrap           string `json:"bootstrap"`
	Group               string `json:"group"`
	Topic               string `json:"topic"`
	Protocol            string `json:"protocol"`
	SessionTimeoutMs    int    `json:"session_timeout_ms"`
	HeartbeatIntervalMs int    `json:"heartbeat_interval_ms"`
}

// SessionTimeout is how long the broker waits for a heartbeat.
func (s Settings) SessionTimeout() time.Duration {
	return time.Duration(s.SessionTimeoutMs) * time.Millisecond
}

// HeartbeatInterval is how often a heartbeat is due.
func (s Settings) HeartbeatInterval() time.Duration {
	return time.Duration(s.HeartbeatIntervalMs) * time.Millisecond
}

// Read takes the settings from the command line.
func Read() Settings {
	var settings Settings
	if err := json.Unmarshal([]byte(os.Args[1]), &settings); err != nil {
		panic(err)
	}
	return settings
}

// StopAsked is closed when the process is asked to leave the group.
func StopAsked() <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		<-signals
		close(stopped)
	}()
	return stopped
}

var output sync.Mutex

func say(event map[string]any) {
	line, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	// A test that is gone needs no more lines.
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		os.Exit(1)
	}
}

func sorted(partitions []int32) []int32 {
	copied := append([]int32{}, partitions...)
	sort.Slice(copied, func(a, b int) bool { return copied[a] < copied[b] })
	return copied
}

// Assigned says which partitions were added, and in which generation or member epoch.
func Assigned(partitions []int32, generation int32) {
	say(map[string]any{"event": "assigned", "partitions": sorted(partitions), "generation": generation})
}

// Revoked says which partitions were taken away.
func Revoked(partitions []int32) {
	say(map[string]any{"event": "revoked", "partitions": sorted(partitions)})
}

// Record says that a record was processed.
func Record(partition int32, offset int64, value []byte) {
	say(map[string]any{"event": "record", "partition": partition, "offset": offset, "value": string(value)})
}

// Committed says which next offset of a partition the broker has acknowledged.
func Committed(partition int32, offset int64) {
	say(map[string]any{"event": "committed", "offsets": [][2]int64{{int64(partition), offset}}})
}

// Trouble says that the client reported an error from which it goes on.
func Trouble(err error) {
	say(map[string]any{"event": "trouble", "message": err.Error()})
}
